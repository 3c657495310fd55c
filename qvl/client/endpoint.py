"""Which endpoint gets the next request, what its answer means, and how long to wait after a failure."""

import email.utils
import random
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

from qvl.errors import UserError

RETRIED = {408, 409, 425, 429} | set(range(500, 600))  # the server's or the moment's fault
REFUSED = {400, 413, 415, 422}  # the request's fault: the same request fails again
MAX_BACKOFF_SECONDS = 30.0
MAX_RETRY_AFTER_SECONDS = 600.0  # the longest Retry-After that is respected


class Refused(UserError):
    """The endpoint refuses this request, and would refuse it again: it concerns its record alone."""


class Failure(Exception):
    """One attempt failed and another may succeed. retry_after: seconds, from the server."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass
class Endpoint:
    """One server, with our load on it, and whether it rests after a failure."""

    url: str  # ends in /v1
    name: str  # for people: without credentials
    busy: int = 0
    requests: int = 0
    rests_until: float = field(default=0.0)

    @property
    def base(self) -> str:
        """Where routes start, including those outside /v1."""
        return self.url.removesuffix("/v1")

    def resting(self) -> bool:
        return time.monotonic() < self.rests_until

    def rest(self, seconds: float) -> None:
        self.rests_until = max(self.rests_until, time.monotonic() + seconds)


def parse(url: str) -> Endpoint:
    """The endpoint of a URL; /v1 is added if it is missing."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"--endpoint {url}: expected an address such as http://127.0.0.1:8000")
    if parts.username or parts.password:
        raise UserError("--endpoint: no credentials in an address; set QVL_API_KEY instead")
    base = url.rstrip("/").removesuffix("/v1")
    return Endpoint(url=base + "/v1", name=base)


def least_busy(endpoints: list[Endpoint]) -> Endpoint:
    """The endpoint for the next request: not resting if possible, then least busy, then least used."""
    return min(endpoints, key=lambda each: (each.resting(), each.busy, each.requests))


def backoff(attempt: int, first: float) -> float:
    """Seconds to wait after failed attempt number 0, 1, ...: doubling, with jitter."""
    return min(first * 2**attempt, MAX_BACKOFF_SECONDS) * random.uniform(0.5, 1.0)


def read_answer(status: int, headers: Any, body: bytes, *, name: str, secret: str | None) -> dict:
    """The JSON of a good answer. Raises Failure (try again), Refused (the request) or UserError (the set-up)."""
    if status == 200:
        try:
            answer = orjson.loads(body or b"null")
        except orjson.JSONDecodeError:
            raise Failure("answered 200 with something that is not JSON") from None
        if answer is None:  # as engines answer some commands
            return {}
        if not isinstance(answer, dict):
            raise Failure("answered 200 with JSON that is not an object")
        return answer
    message = _message(body, secret)
    if status in REFUSED:
        raise Refused(f"the endpoint refuses it ({status}): {message}")
    if status in RETRIED:
        raise Failure(f"answered {status}: {message}", _retry_after(headers.get("Retry-After")))
    hint = "; is QVL_API_KEY right?" if status in (401, 403) else ""
    raise UserError(f"{name}: answered {status}: {message}{hint}")


def check_completion(answer: dict) -> dict:
    """The answer, if it has choices that the engine finished; Failure otherwise."""
    choices = answer.get("choices")
    choices = choices if isinstance(choices, list) else []
    if not choices or not all(isinstance(_get(each, "message"), dict) for each in choices):
        raise Failure("answered 200 without choices")
    if any(_get(each, "finish_reason") in ("abort", "error") for each in choices):
        raise Failure("gave up in the middle of an answer")
    return answer


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _message(body: bytes, secret: str | None) -> str:
    """The server's error message, in OpenAI's shape or any other, in one short line."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = body.decode("utf-8", "replace")
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    text = " ".join((said if isinstance(said, str) else str(said)).split()) or "no reason given"
    if secret:  # some servers repeat the key that they refuse
        text = text.replace(secret, "***")
    return text if len(text) <= 300 else text[:297] + "..."


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
