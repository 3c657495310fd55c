"""Seconds by the clock and of processor time, step by step, of a run of qvl and of one of a peer."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from served import BIN, Served

TICKS = os.sysconf("SC_CLK_TCK")


class Row(NamedTuple):
    """After a step: seconds by the clock, of processor time, and the step's own figures."""

    seconds: float
    processor: float
    figures: dict


def rate(rows: Sequence[Row], amount: float, warm: int, name: str) -> float:
    """What is done per second, from `amount` per step; the first `warm` steps do not count.

    name: "seconds" or "processor".
    """
    took = getattr(rows[-1], name) - getattr(rows[warm - 1], name)
    return amount * (len(rows) - warm) / took


def learn_by_qvl(
    model: Path, words: Sequence[object], output: Path, steps: int, ranks: int = 1
) -> list[Row]:
    """Run a command that learns from a served model and writes `output`, with as many ranks as replicas of
    the engine, one thread each. The processor time is that of the command and its engines."""
    server = Served(model, "--port", 0, "--max-batch", 256, "--replicas", ranks)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "QVL_ENDPOINT": server.url}
    process = subprocess.Popen([BIN / "qvl", *map(str, words), "--nproc", str(ranks)], env=env)
    log, found = output / "log.jsonl", []
    while len(found) < steps:
        assert process.poll() in (None, 0)
        time.sleep(0.02)
        lines = log.read_text().split("\n")[:-1] if log.exists() else []
        rows = [row for row in map(json.loads, lines) if "loss" in row]
        if len(rows) > len(found):
            used = processor_seconds(process.pid) + processor_seconds(server.process.pid)
            found += [Row(row["seconds"], used, row) for row in rows[len(found) :]]
    assert process.wait() == 0
    server.stop()
    return found


def learn_by_trl(script: str, *words: object, ranks: int = 1) -> list[Row]:
    """Run a script of this folder that prints a line per step (see trl_steps.py), one thread per rank.

    TRL comes with the extra `dev`; TRL_PYTHON is the interpreter of another environment that has it.
    """
    python = os.environ.get("TRL_PYTHON", sys.executable)
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    command = [python, *launch, str(Path(__file__).parent / script), *map(str, words)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"step"')]
    return [Row(row["seconds"], row["processor"], row) for row in rows]


def write_plain(source: Path, path: Path) -> Path:
    """The records of a stream as plain JSON lines."""
    with path.open("w") as file:
        subprocess.run([BIN / "qvl", "cat", "--plain", source], stdout=file, check=True)
    return path


def processor_seconds(process: int) -> float:
    """Of a process that runs, and of all that it has started; 0 for one that has ended, whose parent has it."""
    if not Path(f"/proc/{process}").exists():
        return 0.0
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{process}/task").glob("*/children")
    started = [int(child) for path in children for child in path.read_text().split()]
    ended = sum(map(int, fields[11:15]))  # of itself, and of children that have ended
    return ended / TICKS + sum(map(processor_seconds, started))
