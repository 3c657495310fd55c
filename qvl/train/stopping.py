"""Signals that end a run after its step."""

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

# Signals within this time are one request: a scheduler signals a launcher, which passes it on, and the ranks.
TOGETHER_SECONDS = 2.0


class Stop:
    """The signal that requested the end of the run, if any."""

    signal: int | None = None

    def requested(self) -> bool:
        """Whether the run is to end after this step."""
        return self.signal is not None


@contextlib.contextmanager
def stop_at_signal() -> Iterator[Stop]:
    """SIGINT or SIGTERM requests the end of the run; a later one ends the process at once."""
    stop = Stop()
    before: dict[int, Any] = {}
    first = 0.0

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if stop.signal is None:
            stop.signal, first = number, time.monotonic()
        if time.monotonic() - first < TOGETHER_SECONDS:
            return
        for each, handler in before.items():
            signal.signal(each, handler)
        signal.raise_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
