"""Isolated runs per second; prints, and fails by no time.

    python tests/bench/bench_sandbox.py [--runs N]

Processor time is that of this process and of all that it started, kernel included: it says what a
core can do also where other work keeps the machine busy. Every process of a sandbox is waited for
by its parent, up to here, so none is left out.
"""

import argparse
import os
import resource
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from qvl.sandbox import probe, run

SOURCE = "print(1)"


def used_seconds() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def measure(name: str, program: Callable[[], object], runs: int, threads: int) -> None:
    program()
    begin, used = time.perf_counter(), used_seconds()
    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(program) for _ in range(runs)]:
            future.result()
    seconds, used = time.perf_counter() - begin, used_seconds() - used
    print(
        f"{name:<28} threads {threads:>2}  {runs / seconds:7.1f} runs/s  "
        f"{runs / used:7.1f} runs/s of processor time"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    found = probe()
    print(found)
    if not found.isolated:
        raise SystemExit("nothing to measure")
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, load average {os.getloadavg()[0]:.1f}")
    bare = [found.python, "-s", "-P", "-S", "-B", "-c", SOURCE]
    for threads in sorted({1, cores}):
        measure(
            "python, not isolated", lambda: subprocess.run(bare, capture_output=True), runs, threads
        )
        measure("a command, isolated", lambda: run(["/usr/bin/true"]), runs, threads)
        measure("a Python source, isolated", lambda: run(SOURCE), runs, threads)


if __name__ == "__main__":
    main()
