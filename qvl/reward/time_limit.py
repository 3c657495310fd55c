"""The time limit of a verdict, enforced by an alarm in the main thread.

The alarm interrupts Python and its regular expressions, but no other C code; for that see
qvl.processes.
"""

import atexit
import math
import signal
import time

VERDICT_SECONDS = 10.0  # for a verifier without a time limit of its own: our choice
AGAIN_SECONDS = 1.0  # until the next OutOfTime, for a function that swallows one
SET_EVERY = 0.05  # seconds


class OutOfTime(BaseException):
    """The function ran too long. Not an Exception, so that `except Exception` does not catch it."""


class TimeLimit:
    """Raises OutOfTime if `stop` is not called within `seconds` of `start`, and again each second.

    Setting an alarm costs more than most calls, so one alarm serves many: when it rings, it checks how
    long the current call has run.
    """

    def __init__(self) -> None:
        self._seconds, self._started, self._set_at = 0.0, 0.0, -math.inf
        self._running = False
        self._was_set = False

    def start(self, seconds: float) -> None:
        self._started = now = time.monotonic()
        if seconds != self._seconds or now - self._set_at > SET_EVERY:
            if not self._was_set:
                # The interpreter gives up its handlers before it ends; an alarm would then kill it.
                atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
                self._was_set = True
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
