"""Sampled tokens per second of `qvl distill on-policy` and of TRL's DistillationTrainer: the same student,
teacher, queries, divergence (forward KL over the whole vocabulary) and learning rate, one thread each
(higher is better), by the clock and per second of processor time, the engine's included; the loss of each
step of both; and the share of a step in which the trainer waits, and in which it waits for the teacher
alone, with all responses sampled, where student and teacher have an engine each (lower is better).

RECIPE is a folder that examples/qwen3-vl.sh has made, up to distillation. TEACHERS are the replicas of the
teacher's engine (1).
"""

import os
from pathlib import Path

import pytest
from served import Served
from spent import learn_by_qvl, learn_by_trl, rate, write_plain

STEPS = int(os.environ.get("BENCH_STEPS", "20"))
WARM = 2  # steps before the clock
QUERIES = 64  # per step
WORDS = f"distill on-policy --batch {QUERIES} --max-tokens 144 --lr 2e-4 --beta 0 --save-every 0 --steps {STEPS}"

pytestmark = pytest.mark.skipif("RECIPE" not in os.environ, reason="RECIPE names no folder")


@pytest.fixture
def recipe() -> Path:
    return Path(os.environ["RECIPE"])


def learn(recipe: Path, teacher: object, output: Path, staleness: int):
    student, queries = recipe / "distill" / "off-policy", recipe / "chains" / "raw.jsonl.zst"
    words = ["--model", student, "--teacher", teacher, "--max-staleness", staleness, "-o", output]
    return learn_by_qvl(student, [*WORDS.split(), *words, queries], output, STEPS)


def test_tokens_per_second_beside_trl(tmp_path, recipe):
    plain = write_plain(recipe / "chains" / "raw.jsonl.zst", tmp_path / "queries.jsonl")
    student, teacher = recipe / "distill" / "off-policy", recipe / "teacher"
    script = "bare_distillation.py"
    theirs = learn_by_trl(script, student, teacher, plain, STEPS, tmp_path / "trl")
    their_tokens = QUERIES * mean([row.figures["completions/mean_length"] for row in theirs])
    print(f"\nloss of TRL: {losses(theirs)}")
    for staleness in (0, 1):
        ours = learn(recipe, teacher, tmp_path / f"qvl-{staleness}", staleness)
        tokens = QUERIES * mean([row.figures["response_tokens"] for row in ours])
        print(f"loss of qvl, --max-staleness {staleness}: {losses(ours)}")
        for name in ("seconds", "processor"):
            mine, other = rate(ours, tokens, WARM, name), rate(theirs, their_tokens, WARM, name)
            of = "second" if name == "seconds" else "second of processor time"
            print(f"qvl {mine:.0f}, TRL {other:.0f} tokens per {of}: {mine / other:.2f} times")


def test_how_long_the_trainer_waits_where_the_teacher_has_an_engine(tmp_path, recipe):
    print()
    with_engine = Served(
        recipe / "teacher",
        "--port",
        0,
        "--max-batch",
        256,
        "--replicas",
        os.environ.get("TEACHERS", "1"),
    )
    for staleness in (0, 1, 2):
        rows = learn(recipe, with_engine.url, tmp_path / f"engine-{staleness}", staleness)[WARM:]
        phases = ("wait", "score", "train", "weights")
        whole = sum(row.figures[f"{name}_seconds"] for row in rows for name in phases)
        waits = [row.figures["wait_seconds"] for row in rows]
        teacher = [min(row.figures["signal_seconds"], row.figures["wait_seconds"]) for row in rows]
        print(
            f"--max-staleness {staleness}: {whole / len(rows):.2f} s per step; the trainer waits ",
            end="",
        )
        print(f"{sum(waits) / whole:.1%} of it, for the teacher alone {sum(teacher) / whole:.1%}")
    with_engine.stop()


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def losses(rows) -> str:
    return " ".join(f"{row.figures['loss']:.3f}" for row in rows)
