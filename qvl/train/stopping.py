"""Signals that end a run after its step."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Stop:
    """The signal that requested the end of the run, if any."""

    signal: int | None = None

    def requested(self) -> bool:
        """Whether the run is to end after this step."""
        return self.signal is not None


@contextlib.contextmanager
def stop_at_signal() -> Iterator[Stop]:
    """SIGINT or SIGTERM requests the end of the run; a second one ends the process at once."""
    stop = Stop()
    before: dict[int, Any] = {}

    def request(number: int, frame: FrameType | None) -> None:
        stop.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
