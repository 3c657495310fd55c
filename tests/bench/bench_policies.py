"""SAPO, GRPO and GSPO in one harness: `qvl rl sapo` on the twin's mixed-mode start (examples/rl-twin.sh),
as the report runs it, and under stress: 8 mini-batches, 5 times the learning rate, staleness 2, where
ratios leave 1. Accuracy on held-out sums, greedy and at temperature 1 (higher is better), the mean of
the seeds with its 95 % interval. All runs have one engine, which gets the start's weights again for each.
18 runs take half an hour on two quiet cores; RL_SEEDS and RL_STEPS make it shorter.
"""

import json
import os
import resource
import subprocess
import time
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


@pytest.fixture(scope="module")
def engine(start):
    server = Served(start / "start", "--port", 0, "--max-batch", 256)
    yield server
    server.stop()


@pytest.mark.parametrize("regime", REGIMES)
def test_the_losses_side_by_side(start, engine, tmp_path, regime):
    print(f"\n{regime} ({REGIMES[regime]}), {STEPS} steps, {SEEDS} seeds:")
    for loss in ("sapo", "grpo", "gspo"):
        began, processor = time.monotonic(), processor_seconds()
        found = [learn(start, engine, tmp_path, regime, loss, seed) for seed in range(SEEDS)]
        before, after, rows = zip(*found, strict=True)
        print(f"{loss}: greedy {told(before, 'accuracy')} -> {told(after, 'accuracy')}", end="")
        print(f", T=1 {told(before, 'sampled/accuracy')} -> ", end="")
        print(f"{told(after, 'sampled/accuracy')}, gained {gained(before, after)}", end="")
        print(
            f", ratio spread {max(row['ratio_spread'] for each in rows for row in each):.3f}",
            end="",
        )
        wall, cpu = time.monotonic() - began, processor_seconds() - processor
        print(
            f", per run {wall / SEEDS:.0f} s, and {cpu / SEEDS:.0f} CPU s of the trainer",
            flush=True,
        )


def processor_seconds() -> float:
    """Of the runs that have ended, without the engine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def gained(before, after) -> str:
    """Points of each run, greedy and at temperature 1."""
    return ", ".join(
        "/".join(f"{100 * (b[name] - a[name]):+.0f}" for name in ("accuracy", "sampled/accuracy"))
        for a, b in zip(before, after, strict=True)
    )


def told(found, name) -> str:
    values = [each[name] for each in found]
    if len(values) < 2:
        return f"{values[0]:.3f}"
    half = student(len(values) - 1) * stdev(values) / len(values) ** 0.5
    return f"{mean(values):.3f} +- {half:.3f}"


def learn(start, engine, tmp_path, regime, loss, seed):
    """The first and last evaluation of a run, and the rows of its steps."""
    output = tmp_path / f"{loss}-{seed}"
    words = f"{RUN} {REGIMES[regime]} --loss {loss} --seed {seed} --model {start}/start -o {output}"
    words += f" --eval {start}/mixed/test.jsonl.zst {start}/mixed/raw.jsonl.zst"
    env = {**os.environ, "OMP_NUM_THREADS": "1", "QVL_ENDPOINT": engine.url}
    run = [BIN / "qvl", "rl", "sapo", *words.split()]
    done = subprocess.run(run, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    evaluations = [row["evaluation"] for row in rows if "evaluation" in row]
    return evaluations[0], evaluations[-1], [row for row in rows if "ratio_spread" in row]
