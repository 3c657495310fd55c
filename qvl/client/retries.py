"""Retries: which failures are tried again, after how long, and how often."""

import asyncio
import email.utils
import math
import random
import time
from collections.abc import Awaitable, Callable

from qvl.client.endpoint import Endpoint
from qvl.errors import EndpointError, UserError

RETRIED = {408, 409, 425, 429} | set(range(500, 600))  # errors of the server, or temporary ones
REFUSED = {400, 413, 415, 422}  # errors of the request, which would fail again
MAX_BACKOFF_SECONDS = 30.0
MAX_RETRY_AFTER_SECONDS = 600.0  # the longest Retry-After that is respected


class Refused(UserError):
    """The endpoint refused the request and would refuse it again; it concerns one record alone."""


class Failure(Exception):
    """A failed attempt; another may succeed. retry_after: seconds requested by the server."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


async def retried(
    endpoints: list[Endpoint],
    choose: Callable[[], Endpoint],
    attempt: Callable[[Endpoint], Awaitable[dict]],
    check: Callable[[dict], dict],
    *,
    retries: int,
    first_backoff_seconds: float,
    is_ending: Callable[[], bool],
) -> dict:
    """The answer of the first attempt that `check` accepts, each at the endpoint that
    `choose` returns.

    EndpointError after the last retry; CancelledError where the client ends between two attempts.
    """
    started = time.monotonic()
    for number in range(retries + 1):
        endpoint = choose()
        try:
            return check(await attempt(endpoint))
        except Failure as failure:
            wait = failure.retry_after
            if wait is None:
                wait = backoff(number, first_backoff_seconds)
            endpoint.rest(wait)
            reason = f"{endpoint.name}: {failure}"
        if is_ending():
            raise asyncio.CancelledError
        # Another endpoint that is available takes over at once.
        if number < retries and all(each.resting() for each in endpoints):
            await asyncio.sleep(wait)
    tries = "1 attempt" if retries == 0 else f"{retries + 1} attempts"
    took = f"{tries} in {time.monotonic() - started:.0f} s"
    raise EndpointError(f"no answer after {took}; the last: {reason}")


def backoff(attempt: int, first: float) -> float:
    """Seconds to wait after failed attempt 0, 1, ...: exponential backoff with jitter."""
    return min(first * 2**attempt, MAX_BACKOFF_SECONDS) * random.uniform(0.5, 1.0)


def retry_after(value: str | None) -> float | None:
    """The seconds of a Retry-After header, which holds seconds or a date; None if it is invalid."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
