"""A time limit on a function that runs in the main thread, kept by an alarm.

The alarm interrupts Python and its regular expressions, but no other C code; for that see
qvl.processes.
"""

import math
import signal
import time

AGAIN_SECONDS = 1.0  # a function that swallows the first OutOfTime gets another
SET_EVERY = 0.05  # seconds


class OutOfTime(BaseException):
    """The function took too long. No Exception, so that its own handlers let it pass."""


class TimeLimit:
    """Raises OutOfTime between `start` and `stop` when they are too far apart, and again each second.

    To set an alarm for each call would cost more than most calls do. One is set now and then; when it
    rings it looks at how long the present call has had.
    """

    def __init__(self) -> None:
        self._seconds, self._started, self._set_at = 0.0, 0.0, -math.inf
        self._running = False

    def start(self, seconds: float) -> None:
        self._started = now = time.monotonic()
        if seconds != self._seconds or now - self._set_at > SET_EVERY:
            signal.signal(signal.SIGALRM, self._ring)  # the function may have set its own
            signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
            self._seconds, self._set_at = seconds, now
        self._running = True

    def stop(self) -> None:
        self._running = False

    def _ring(self, *_: object) -> None:
        self._set_at = -math.inf
        if not self._running:
            signal.setitimer(signal.ITIMER_REAL, 0)
            return
        left = self._started + self._seconds - time.monotonic()
        if left > 0:
            signal.setitimer(signal.ITIMER_REAL, left, AGAIN_SECONDS)
        else:
            raise OutOfTime
