"""How many threads torch computes with on a CPU: one, or one per core.

Each operation ends when its last thread does. The operations of a small model are shorter than that takes, and
beside a busy process, which keeps one of the threads from its core, they wait for the scheduler each time: `eval` of
the twin took 17.7 s with two threads and 3.2 s with one on two cores. Large ones are faster with every core, and as
fast as with one beside a busy process.
"""

import os
import statistics
import time
from collections.abc import Callable

SMALL = (
    128  # width of a small model: its layers were no faster with two threads for up to 64 tokens
)
LONG = 0.5  # seconds of a step that is not measured: such operations take milliseconds
MIN_ROUNDS, MAX_ROUNDS = 5, 40
SECONDS = 0.5  # of a measurement: our choice
GAIN = 0.9  # of the time of one thread, that all threads must stay below; our choice


def most() -> int:
    """The number of cores that this process may use, OMP_NUM_THREADS at most."""
    import torch

    return min(torch.get_num_threads(), len(os.sched_getaffinity(0)))


def choose(width: int, number: int | None = None, step: Callable[[], object] | None = None) -> int:
    """Set torch's number of threads for a model of this hidden size, and return it.

    `number`: what the user wants. `step`: computes as the model will, to measure with one thread and with all;
    without it all are taken for a model that is not small, so that a run gives the same numbers again.
    """
    import torch

    every = most()
    if number is None:
        is_small = every == 1 or width <= SMALL
        number = 1 if is_small else faster(step, every) if step else every
    torch.set_num_threads(number)
    return number


def faster(step: Callable[[], object], every: int) -> int:
    """`every` if `step` is faster with that many threads than with one by more than a tenth, else 1."""
    import torch

    def seconds(number: int) -> float:
        torch.set_num_threads(number)
        began = time.perf_counter()
        step()
        return time.perf_counter() - began

    seconds(every)  # the first step allocates
    if seconds(every) > LONG:
        return every
    ratios: list[float] = []
    until = time.perf_counter() + SECONDS
    while len(ratios) < MIN_ROUNDS or (time.perf_counter() < until and len(ratios) < MAX_ROUNDS):
        one = seconds(1)
        ratios.append(seconds(every) / one)
    return every if statistics.median(ratios) < GAIN else 1


def described(number: int) -> str:
    """ "1 thread", "2 threads"."""
    return f"{number} thread{'s' * (number > 1)}"
