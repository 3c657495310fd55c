"""The losses of 2,048 tokens (BENCH_TOKENS) over Qwen's vocabulary: peak memory and time, beside torch's plain way.

Three of them: cross-entropy, the same with a frozen head, and SAPO. Time is CPU seconds of all threads,
plain and ours by turns, the median ratio of the rounds. Resident memory is watched from a thread. Both
sides hold the gradient of the head, V x D in fp32, unless it is frozen.
"""

import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from qvl.losses import policy
from qvl.losses.log_probs import log_probs

TOKENS = int(os.environ.get("BENCH_TOKENS", "2048"))
VOCABULARY, WIDTH = 151_936, 256
ROUNDS = 5
PAGE = 4096


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def measure(loss: Callable[[], Tensor]) -> tuple[float, float]:
    """CPU seconds of a step forward and backward, and the megabytes that it added at its peak."""
    before, peak, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, resident() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.process_time()
    loss().backward()
    seconds = time.process_time() - started
    done.set()
    watcher.join()
    return seconds, peak / 1e6


def compare(
    kind: str,
    plain: Callable[[], Tensor],
    ours: Callable[[], Tensor],
    hidden: Tensor,
    head: Tensor,
    *,
    rounds: int,
    rtol: float,
) -> None:
    """Print memory and time of both ways, by turns; their gradients of `hidden` must agree."""
    found, gradients = [], []
    for loss in (plain, ours) * (rounds + 1):  # the first to warm up
        hidden.grad = head.grad = None
        found.append(measure(loss))
        gradients = [*gradients[-1:], hidden.grad]
    torch.testing.assert_close(*gradients, rtol=rtol, atol=1e-8)
    pairs = list(zip(found[2::2], found[3::2], strict=True))
    times = sorted(mine[0] / theirs[0] for theirs, mine in pairs)
    (plain_seconds, plain_memory), (our_seconds, our_memory) = (
        [statistics.median(values) for values in zip(*side, strict=True)]
        for side in zip(*pairs, strict=True)
    )
    print(
        f"\n{kind}: plain {plain_memory:,.0f} MB at the peak, {plain_seconds:.2f} CPU s; "
        f"ours {our_memory:,.0f} MB, {our_seconds:.2f} CPU s: 1/{plain_memory / our_memory:.1f} of the "
        f"memory, {statistics.median(times):.2f} of the time ({times[0]:.2f} to {times[-1]:.2f})"
    )


@pytest.mark.parametrize("kind", ["cross-entropy", "cross-entropy, frozen head", "SAPO"])
def test_loss_memory_and_time(kind):
    torch.manual_seed(0)
    hidden = torch.randn(TOKENS, WIDTH, requires_grad=True)
    head = torch.randn(VOCABULARY, WIDTH) / 20
    labels, weights = torch.randint(VOCABULARY, (TOKENS,)), torch.full((TOKENS,), 1 / TOKENS)
    advantages = torch.randn(TOKENS)
    old = log_probs(hidden.detach(), head, labels) + 0.2 * torch.randn(TOKENS)
    head.requires_grad_("frozen" not in kind)

    def terms(found: Tensor, rows: slice) -> Tensor:
        if kind == "SAPO":
            return policy.sapo(found, old[rows], advantages[rows])
        return found

    def plain() -> Tensor:
        found = -torch.nn.functional.cross_entropy(hidden @ head.T, labels, reduction="none")
        return policy.loss(terms(found, slice(None)), weights)

    def ours() -> Tensor:
        found = log_probs(hidden, head, labels, weights, terms=terms)
        return policy.loss(terms(found, slice(None)), weights)

    compare(kind, plain, ours, hidden, head, rounds=ROUNDS, rtol=1e-4)
