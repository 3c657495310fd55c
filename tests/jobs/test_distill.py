"""`qvl distill on-policy` as users run it: the twin samples, a larger twin teaches."""

import json
import os
import random
import re
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from served import BIN, Served
from shells import shell

from qvl.distill import codes
from qvl.distill.settings import DistillationSettings
from qvl.io import jsonl
from qvl.jobs import distill
from qvl.rollout.settings import PolicySettings, RewardSettings, SamplingSettings
from qvl.settings import Checkpointing, Logging, ModelSettings, Optimization
from qvl.tiny import data, model

RUN = "qvl distill on-policy --model twin -n 2 --batch 4 --max-tokens 6 --lr 1e-3 --save-every 1"
K = 16
# TEST_KILLS=20 kills as often; each process in turn.
KILLS = int(os.environ.get("TEST_KILLS", "2"))
VICTIMS = ("trainer", "student", "teacher")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, twin):
    made = tmp_path_factory.mktemp("distill")
    (made / "twin").symlink_to(twin)
    (made / "big").mkdir()
    model.write(made / "big", "s", moe=False, thinking=False, seed=3)
    plan = data.DataPlan(names=["digit", "add"], train=16, test=4, defect_share=0)
    data.write(made, plan)
    records = list(jsonl.read(str(made / "raw.jsonl.zst")))
    for name in ("rl", "sft"):
        jsonl.write(records, str(made / f"{name}.jsonl.zst"))
    return made


def an_engine(folder, name, port=0):
    # One row at a time: the last bits of a log-prob depend on the rows beside it.
    return Served(folder / name, "--port", port, "--media-root", folder, "--max-batch", 1)


@pytest.fixture(scope="module")
def engines(folder):
    """Of the student and of the teacher."""
    servers = [an_engine(folder, name) for name in ("twin", "big")]
    yield servers
    for server in servers:
        server.process.terminate()
        server.process.wait(60)


def run(folder, line, student=None):
    more = {"QVL_ENDPOINT": student.url} if student else {}
    return shell(folder)(line, OMP_NUM_THREADS="1", **more)


def done_well(folder, line, student=None):
    done = run(folder, line, student)
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done


def rows(folder, output):
    lines = (folder / output / "log.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "divergence" in row]


def steps(folder, output):
    return [list(jsonl.read(str(p))) for p in sorted((folder / output / "rollouts").glob("*.zst"))]


@pytest.fixture(scope="module")
def top(folder, engines):
    """Three steps by a teacher at an endpoint, with replay and an evaluation."""
    student, teacher = engines
    words = f"--teacher {teacher.url} --top-k {K} -o top --steps 3 --replay sft.jsonl.zst"
    done_well(folder, f"{RUN} {words} --eval test.jsonl.zst rl.jsonl.zst", student)
    return folder / "top"


def test_a_run_has_its_figures_and_the_tower_stays(folder, top):
    found = rows(folder, "top")
    assert [row["step"] for row in found] == [1, 2, 3]
    assert found[2]["replay_loss"] < found[0]["replay_loss"]
    assert found[0]["gap"] < 1e-4
    before = load_file(folder / "twin/model.safetensors")
    for name, tensor in load_file(top / "model.safetensors").items():
        assert torch.equal(tensor, before[name]) == ("visual" in name), name
    log = list(map(json.loads, (top / "log.jsonl").read_text().splitlines()))
    assert [row["step"] for row in log if "evaluation" in row] == [0, 3]


def test_a_step_holds_what_the_teacher_said_and_is_learned_from_again(folder, top):
    for number, records in enumerate(steps(folder, "top"), 1):
        for record in records:
            assert len(record["responses"]) == 2
            for response in record["responses"]:
                version = "default" if number == 1 else f"step-{number - 1:06d}"
                assert response["weight_versions"][0][0] == version
                found = codes.decode(response["teacher"])
                assert found.ids.shape == (len(response["token_ids"]), K)
    path = "top/rollouts/step-000001.jsonl.zst"
    line = f"{RUN} -o again --steps 3 --top-k {K} --media-root . --rollouts {path}"
    done_well(folder, f"{line} --replay sft.jsonl.zst")
    found = rows(folder, "again")
    assert found[0]["loss"] == pytest.approx(rows(folder, "top")[0]["loss"], abs=1e-6)
    assert found[2]["divergence"] < found[0]["divergence"]  # of the same sequences


def settings_of(output, layout="", **distillation):
    return distill.DistillSettings(
        model=ModelSettings(model="twin", layout=layout),
        sampling=SamplingSettings(
            model="twin",
            queries=(),
            output=output,
            endpoint="",
            media_root=".",
            queries_per_step=4,
            num_samples=2,
        ),
        rewards=RewardSettings(),
        policy=PolicySettings(
            steps=1,
            minibatches=1,
            pack_tokens=64,
            stored=("top/rollouts/step-000001.jsonl.zst",),
        ),
        # With a smaller eps, a gradient of rounding errors alone would move a weight by lr.
        optimization=Optimization(
            lr=1e-3, eps=1e-3, schedule="constant", freeze=("vision", "merger")
        ),
        checkpointing=Checkpointing(output=output),
        logging=Logging(log_every=1),
        distillation=DistillationSettings(**distillation),
    )


KINDS = {
    "full": {"over": "full", "teachers": ("big",), "beta": 0.5, "replay": ("sft.jsonl.zst",)},
    "top-k": {"top_k": K, "replay": ("sft.jsonl.zst",)},
    "sampled": {"over": "sampled", "learn_as": "advantage", "top_k": 0},
}


def rank_of(folder, output, layout, kind):
    """One rank of a run on a stored step."""
    os.chdir(folder)
    settings = settings_of(output, layout, **KINDS[kind])
    settings.check(int(os.environ["WORLD_SIZE"]))
    distill.run(settings, lambda row: None, lambda: False)


@pytest.mark.parametrize(
    ("count", "layout", "kind"),
    [(2, "tp=2", "full"), (2, "pp=2", "full"), (2, "", "top-k"), (2, "cp=2", "sampled"),
     (4, "tp=2,cp=2", "full")],
)  # fmt: skip
def test_a_step_is_the_same_at_every_layout(folder, top, ranks, count, layout, kind):
    alone, shared = f"alone-{kind}", f"shared-{kind}-{layout.replace(',', '-')}"
    if not (folder / alone).exists():
        ranks(1, rank_of, folder, alone, "", kind)
    ranks(count, rank_of, folder, shared, layout, kind)
    one, other = rows(folder, alone)[0], rows(folder, shared)[0]
    assert other["loss"] == pytest.approx(one["loss"], abs=1e-5)
    assert other["divergence"] == pytest.approx(one["divergence"], abs=1e-5)
    ours = load_file(folder / shared / "model.safetensors")
    for name, tensor in load_file(folder / alone / "model.safetensors").items():
        assert (tensor - ours[name]).abs().max() < 1e-6, name


def test_the_whole_vocabulary_diverges_at_least_as_much_as_its_top_k(folder, top, ranks):
    """Of the same step, without replay, at the same beta: the top-k and the tail are a coarser view."""
    ranks(1, whole_and_top, folder)
    full, part = (rows(folder, name)[0]["divergence"] for name in ("whole-view", "top-view"))
    assert 0 < part <= full + 1e-3


def whole_and_top(folder):
    os.chdir(folder)
    views = {"whole-view": {"over": "full", "teachers": ("big",)}, "top-view": {"top_k": K}}
    for name, words in views.items():
        distill.run(settings_of(name, **words), lambda row: None, lambda: False)


def test_stored_log_probs_of_another_tokenizer_end_the_run_before_it_learns(folder, top):
    records = steps(folder, "top")[0]
    for record in records:
        for response in record["responses"]:
            response["teacher"]["tokenizer"] = "0123456789abcdef"
    jsonl.write(records, str(folder / "foreign.jsonl.zst"))
    done = run(folder, f"{RUN} -o foreign --steps 1 --top-k {K} --rollouts foreign.jsonl.zst")
    assert done.returncode == 2
    assert "of another tokenizer (0123456789abcdef)" in done.stderr
    assert not (folder / "foreign/model.safetensors").exists()


@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_that_was_killed_continues_to_the_same_bytes(folder, engines, top, number):
    """At a moment drawn in steps and then in milliseconds."""
    draw, output, victim = random.Random(number), f"killed-{number}", VICTIMS[number % 3]
    student, teacher = an_engine(folder, "twin"), an_engine(folder, "big")
    port = int(teacher.url.rpartition(":")[2])
    words = f"{RUN} --teacher {teacher.url} --top-k {K} -o {output} --steps 3 --resume "
    words += "--replay sft.jsonl.zst --eval test.jsonl.zst rl.jsonl.zst"

    def started(engine):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "QVL_ENDPOINT": engine.url}
        parts = words.split()
        return subprocess.Popen(
            [BIN / parts[0], *parts[1:]], cwd=folder, env=environment, stderr=subprocess.PIPE
        )

    process = started(student)
    part = folder / output / f"rollouts/step-{draw.randint(1, 3):06d}.jsonl.zst"
    until = time.monotonic() + 100
    while not part.exists() and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(draw.random())
    {"trainer": process, "student": student.process, "teacher": teacher.process}[
        victim
    ].send_signal(signal.SIGKILL)
    if victim == "teacher":  # it restarts, and the run goes on
        teacher.process.wait(60)
        teacher = an_engine(folder, "big", port)
    errors = process.communicate(timeout=200)[1].decode()
    allowed = {"trainer": (-9, 0), "student": (4, 0), "teacher": (0,)}[victim]
    assert process.returncode in allowed, errors
    if victim == "student":
        student = an_engine(folder, "twin")
    process = started(student)
    errors = process.communicate(timeout=200)[1].decode()
    assert process.returncode == 0, errors
    for server in (student, teacher):
        server.process.terminate()
        server.process.wait(60)
    assert steps(folder, output) == steps(folder, "top")
    ours, theirs = (load_file(folder / each / "model.safetensors") for each in (output, "top"))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_the_examples_run(command_module, folder):
    for line in re.findall(
        r"^ *\$ (.+)$", command_module("distill on-policy").command.__doc__, re.M
    ):
        more = " --media-root ." if "--rollouts" in line else ""
        done_well(folder, line + more)


def test_refusals_come_before_any_work(folder):
    for words, reason in (
        ("--teacher http://127.0.0.1:9 --no-tail rl.jsonl.zst", "truncated top-k"),
        ("--teacher http://127.0.0.1:9 --as advantage rl.jsonl.zst", "teaches nothing"),
        ("rl.jsonl.zst", "no teacher"),
        ("", "no queries"),
    ):
        done = run(folder, f"{RUN} -o refused --endpoint http://127.0.0.1:9 {words}")
        assert done.returncode == 2, done.stderr
        assert reason in done.stderr
    assert not (folder / "refused").exists()


def test_scores_of_a_step_agree_with_the_trainers_log_probs(folder, top):
    """The teacher's log-prob of a sampled token is above its tail's where it is one of the K."""
    for record in steps(folder, "top")[0]:
        for response in record["responses"]:
            found = codes.decode(response["teacher"])
            for place, token in enumerate(response["token_ids"]):
                among = found.ids[place] == token
                if among.any():
                    own = float(found.log_probs[place][among][0])
                    assert own == pytest.approx(found.sampled[place], abs=1 / 64)
                else:
                    assert found.sampled[place] <= np.log(found.tail[place]) + 1e-3
