"""The loss of 2,048 tokens over Qwen's vocabulary: peak memory and time, beside torch's plain way.

Resident memory is watched from a thread. Both sides hold the gradient of the head, V x D in fp32.
"""

import threading
import time
from pathlib import Path

import torch

from qvl.losses.log_probs import log_probs

TOKENS, VOCABULARY, WIDTH = 2048, 151_936, 256
PAGE = 4096


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def measure(loss) -> tuple[float, float]:
    """Seconds of a step forth and back, and the megabytes that it added at its peak."""
    before, peak, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, resident() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    loss().backward()
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    return seconds, peak / 1e6


def test_loss_memory_and_time():
    torch.manual_seed(0)
    hidden = torch.randn(TOKENS, WIDTH, requires_grad=True)
    head = (torch.randn(VOCABULARY, WIDTH) / 20).requires_grad_()
    labels, weights = torch.randint(VOCABULARY, (TOKENS,)), torch.ones(TOKENS)

    def plain() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(hidden @ head.T, labels, reduction="sum")

    def chunked() -> torch.Tensor:
        return -(log_probs(hidden, head, labels, weights) * weights).sum()

    best = {}
    for name, loss in (("plain", plain), ("chunked", chunked)) * 3:
        hidden.grad = head.grad = None
        seconds, megabytes = measure(loss)
        fastest = min(seconds, best.get(name, (seconds, 0))[0])
        best[name] = fastest, megabytes
    for name, (seconds, megabytes) in best.items():
        print(f"\n{name}: {megabytes:,.0f} MB at the peak, {seconds:.2f} s", end="")
    memory, slower = (best["chunked"][i] / best["plain"][i] for i in (1, 0))
    print(f"\nchunked: 1/{1 / memory:.1f} of the memory, {slower:.2f} of the time")
