"""Samples per second of `qvl rl sapo` and of TRL's GRPOTrainer (loss_type sapo) on the same twin, queries,
samples and learning rate (higher is better), by the clock and per second of processor time, the engine's
included; and the reward of each step of both. With one rank and thread each, and with two (of qvl also two
engines); `--max-staleness 1` with one, as it keeps two cores busy.

RL_START is a folder that ONLY_START=1 examples/rl-twin.sh has made.
"""

import os
from pathlib import Path

import pytest
from spent import learn_by_qvl, learn_by_trl, rate, write_plain

STEPS = int(os.environ.get("BENCH_STEPS", "20"))
WARM = 2  # steps before the clock
SAMPLES = 256  # per step


@pytest.mark.skipif("RL_START" not in os.environ, reason="RL_START names no start")
@pytest.mark.parametrize(("ranks", "stalenesses"), [(1, (0, 1)), (2, (0,))])
def test_samples_per_second_beside_trl(tmp_path, ranks, stalenesses):
    start = Path(os.environ["RL_START"])
    queries = start / "mixed" / "raw.jsonl.zst"
    plain = write_plain(queries, tmp_path / "queries.jsonl")
    arguments = (start / "start", plain, STEPS, tmp_path / "trl")
    theirs = learn_by_trl("bare_grpo.py", *arguments, ranks=ranks)
    print(f"\n{ranks} ranks; rewards of TRL:", *(f"{row.figures['reward']:.2f}" for row in theirs))
    for staleness in stalenesses:
        words = f"rl sapo -n 8 --batch 32 --max-tokens 64 --steps {STEPS} --lr 1e-4 --save-every 0"
        output = tmp_path / f"qvl-{staleness}"
        command = [*words.split(), "--model", start / "start", "--max-staleness", staleness]
        ours = learn_by_qvl(
            start / "start", [*command, "-o", output, queries], output, STEPS, ranks=ranks
        )
        rewards = " ".join(f"{row.figures['reward']:.2f}" for row in ours)
        print(f"rewards of qvl, --max-staleness {staleness}: {rewards}")
        for name in ("seconds", "processor"):
            mine, other = rate(ours, SAMPLES, WARM, name), rate(theirs, SAMPLES, WARM, name)
            of = "second" if name == "seconds" else "second of processor time"
            print(f"qvl {mine:.0f}, TRL {other:.0f} samples per {of}: {mine / other:.2f} times")
