"""The number of threads that qvl serve chooses, beside one and all, on a quiet machine and beside a busy process.

    pytest tests/bench/bench_threads.py --override-ini=python_files='bench_*.py' -s

Seconds of the clock for `qvl eval` of 200 records, in interleaved rounds; the least of a setting counts. The machine
must be quiet otherwise.
"""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SETTINGS = {"one": ["--threads", "1"], "all": ["--threads", str(os.cpu_count())], "chosen": []}
QVL = str(Path(sys.executable).parent / "qvl")


def qvl(*words: object) -> None:
    subprocess.run([QVL, *map(str, words)], check=True, capture_output=True)


@contextmanager
def beside(busy: bool):
    """A process that computes all the time, or none."""
    if not busy:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("size", ["xs", "m"])
def test_serve_takes_the_better_number(tmp_path, size):
    qvl("tiny", "model", tmp_path / "model", "--size", size)
    qvl("tiny", "data", tmp_path / "data", "--test", 200)
    records = tmp_path / "data/test.jsonl.zst"
    print()
    for busy in (False, True):
        seconds: dict[str, list[float]] = {name: [] for name in SETTINGS}
        with beside(busy):
            for _ in range(ROUNDS):
                for name, flags in SETTINGS.items():
                    began = time.perf_counter()
                    words = ["qvl", "eval", records, "--max-tokens", 24, "-o", tmp_path / "out.zst"]
                    qvl("serve", tmp_path / "model", "--port", 0, *flags, "--", *words)
                    seconds[name].append(time.perf_counter() - began)
        least = {name: min(each) for name, each in seconds.items()}
        ratio = least["chosen"] / min(least["one"], least["all"])
        figures = ", ".join(f"{name} {each:.1f} s" for name, each in least.items())
        print(f"{size}, {'beside a busy process' if busy else 'quiet'}: {figures}; {ratio:.2f}")
