"""Samples per second of `qvl rl sapo` and of TRL's GRPOTrainer (loss_type sapo) on the same twin, queries,
samples and learning rate, one thread each (higher is better), by the clock and per second of processor
time, the engine's included; and the reward of each step of both.

TRL comes with the extra `dev`; TRL_PYTHON is the interpreter of another environment that has it. RL_START
is a folder that ONLY_START=1 examples/rl-twin.sh has made.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from served import BIN, Served

STEPS, WARM = 8, 2  # steps, and those before the clock
SAMPLES = 256  # per step
TICKS = os.sysconf("SC_CLK_TCK")


class Row(NamedTuple):
    """After a step: seconds by the clock, of processor time, and the mean reward of the step."""

    seconds: float
    processor: float
    reward: float


@pytest.mark.skipif("RL_START" not in os.environ, reason="RL_START names no start")
@pytest.mark.parametrize("staleness", [0, 1])
def test_samples_per_second_beside_trl(tmp_path, staleness):
    start = Path(os.environ["RL_START"])
    ours = learn(start, tmp_path, staleness)
    theirs = learn_by_trl(start, tmp_path)
    print(f"\nrewards of qvl, --max-staleness {staleness}:", *(f"{row.reward:.2f}" for row in ours))
    print("rewards of TRL:", *(f"{row.reward:.2f}" for row in theirs))
    for name in ("seconds", "processor"):
        mine, other = rate(ours, name), rate(theirs, name)
        of = "second" if name == "seconds" else "second of processor time"
        print(f"qvl {mine:.0f}, TRL {other:.0f} samples per {of}: {mine / other:.2f} times")


def rate(rows, name) -> float:
    took = getattr(rows[-1], name) - getattr(rows[WARM - 1], name)
    return SAMPLES * (STEPS - WARM) / took


def learn(start, tmp_path, staleness) -> list[Row]:
    words = f"--model {start}/start -n 8 --batch 32 --max-tokens 64 --steps {STEPS} --lr 1e-4"
    words += (
        f" --save-every 0 --max-staleness {staleness} -o {tmp_path}/out {start}/mixed/raw.jsonl.zst"
    )
    server = Served(start / "start", "--port", 0, "--max-batch", 256)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "QVL_ENDPOINT": server.url}
    process = subprocess.Popen([BIN / "qvl", "rl", "sapo", *words.split()], env=env)
    log, found = tmp_path / "out" / "log.jsonl", []
    while len(found) < STEPS:
        assert process.poll() in (None, 0)
        time.sleep(0.02)
        lines = log.read_text().split("\n")[:-1] if log.exists() else []
        rows = [row for row in map(json.loads, lines) if "reward" in row]
        if len(rows) > len(found):
            used = processor_seconds(process.pid) + processor_seconds(server.process.pid)
            found += [Row(row["seconds"], used, row["reward"]) for row in rows[len(found) :]]
    assert process.wait() == 0
    server.stop()
    return found


def processor_seconds(process: int) -> float:
    """Of a process that runs, and of all that it has started; 0 for one that has ended, whose parent has it."""
    if not Path(f"/proc/{process}").exists():
        return 0.0
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{process}/task").glob("*/children")
    started = [int(child) for path in children for child in path.read_text().split()]
    ended = sum(map(int, fields[11:15]))  # of itself, and of children that have ended
    return ended / TICKS + sum(map(processor_seconds, started))


def learn_by_trl(start, tmp_path) -> list[Row]:
    queries = tmp_path / "queries.jsonl"
    with queries.open("w") as file:
        plain = [BIN / "qvl", "cat", "--plain", start / "mixed" / "raw.jsonl.zst"]
        subprocess.run(plain, stdout=file, check=True)
    python = os.environ.get("TRL_PYTHON", sys.executable)
    script = Path(__file__).parent / "bare_grpo.py"
    command = [python, script, start / "start", queries, str(STEPS), tmp_path / "trl"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"step"')]
    return [Row(row["seconds"], row["processor"], row["reward"]) for row in rows]
