"""SAPO, GRPO and GSPO in one harness: `qvl rl sapo` on the twin's mixed-mode start (examples/rl-twin.sh),
as the report runs it, and under stress: 8 mini-batches, 5 times the learning rate, staleness 2, where
ratios leave 1. Accuracy on held-out sums, greedy and at temperature 1 (higher is better), the mean of
the seeds with its 95 % interval. 18 runs take half an hour on two quiet cores; RL_SEEDS and RL_STEPS
make it shorter.
"""

import json
import os
import subprocess
from pathlib import Path
from statistics import mean, stdev

import pytest
from served import BIN, Served
from shells import ROOT

from qvl.intervals import student

SEEDS = int(os.environ.get("RL_SEEDS", "3"))
STEPS = int(os.environ.get("RL_STEPS", "20"))
RUN = f"-n 8 --batch 32 --max-tokens 64 --steps {STEPS} --eval-every {STEPS} --eval-samples 4"
REGIMES = {
    "as the report": "--minibatches 2 --lr 1e-4",
    "under stress": "--minibatches 8 --lr 5e-4 --max-staleness 2",
}


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """A folder with the start and its data; RL_START names one that examples/rl-twin.sh has made."""
    if "RL_START" in os.environ:
        return Path(os.environ["RL_START"])
    folder = tmp_path_factory.mktemp("policies")
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "ONLY_START": "1"}
    subprocess.run([ROOT / "examples" / "rl-twin.sh", folder], env=env, check=True)
    return folder


@pytest.mark.parametrize("regime", REGIMES)
def test_the_losses_side_by_side(start, tmp_path, regime):
    print(f"\n{regime} ({REGIMES[regime]}), {STEPS} steps, {SEEDS} seeds:")
    for loss in ("sapo", "grpo", "gspo"):
        found = [learn(start, tmp_path, regime, loss, seed) for seed in range(SEEDS)]
        before, after, rows = zip(*found, strict=True)
        print(f"{loss}: greedy {before[0]['accuracy']:.3f} -> {told(after, 'accuracy')}", end="")
        print(
            f", T=1 {before[0]['sampled/accuracy']:.3f} -> {told(after, 'sampled/accuracy')}",
            end="",
        )
        print(f", ratio spread {max(row['ratio_spread'] for each in rows for row in each):.3f}")


def told(found, name) -> str:
    values = [each[name] for each in found]
    if len(values) < 2:
        return f"{values[0]:.3f}"
    half = student(len(values) - 1) * stdev(values) / len(values) ** 0.5
    return f"{mean(values):.3f} +- {half:.3f}"


def learn(start, tmp_path, regime, loss, seed):
    """The first and last evaluation of a run, and the rows of its steps."""
    output = tmp_path / f"{loss}-{seed}"
    words = f"{RUN} {REGIMES[regime]} --loss {loss} --seed {seed} --model {start}/start -o {output}"
    words += f" --eval {start}/mixed/test.jsonl.zst {start}/mixed/raw.jsonl.zst"
    server = Served(start / "start", "--port", 0, "--max-batch", 256)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "QVL_ENDPOINT": server.url}
    run = [BIN / "qvl", "rl", "sapo", *words.split()]
    done = subprocess.run(run, env=env, capture_output=True, text=True)
    server.stop()
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    evaluations = [row["evaluation"] for row in rows if "evaluation" in row]
    return evaluations[0], evaluations[-1], [row for row in rows if "ratio_spread" in row]
