"""The servers of a client, and which of them gets the next request."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from qvl.errors import UserError
from qvl.recent import Recent

SESSION = "X-Session-Id"  # the header of a request that belongs to others
MOST_SESSIONS = 1 << 16  # that are known at a time
HEADSTART = (
    32  # requests by which a server may be busier and still get those of its sessions: our choice
)

Server = TypeVar("Server")


@dataclass
class Endpoint:
    """One server, with the requests in flight there, and the end of its rest after a failure."""

    url: str  # ends in /v1
    name: str  # for messages: without credentials
    busy: int = 0
    requests: int = 0
    rests_until: float = field(default=0.0)

    @property
    def base(self) -> str:
        """The URL without /v1."""
        return self.url.removesuffix("/v1")

    def resting(self) -> bool:
        return time.monotonic() < self.rests_until

    def rest(self, seconds: float) -> None:
        self.rests_until = max(self.rests_until, time.monotonic() + seconds)


def parse(url: str) -> Endpoint:
    """The endpoint of a URL; /v1 is added if it is missing."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:  # as of http://[::1 or of port 99999
        parts, known = urlsplit(""), False
    if not known or not parts.hostname:
        raise UserError(f"--endpoint {url}: expected an address such as http://127.0.0.1:8000")
    if parts.username or parts.password:
        raise UserError("--endpoint: no credentials in an address; set QVL_API_KEY instead")
    base = url.rstrip("/").removesuffix("/v1")
    return Endpoint(url=base + "/v1", name=base)


def load(endpoint: Endpoint) -> tuple[bool, int, int]:
    """The lower, the better for the next request: not resting if possible, then least busy, then least used."""
    return endpoint.resting(), endpoint.busy, endpoint.requests


class Sessions(Generic[Server]):
    """Which of several servers gets a request.

    The requests of a session, such as the turns of a conversation or the samples of a group, go to the same
    one: it has computed their beginning already. Those of no session go to the least loaded.
    """

    def __init__(self, load: Callable[[Server], tuple[bool, int, Any]]) -> None:
        """load: whether a server is avoided, its requests in flight, and what decides otherwise."""
        self._load = load
        self._last: Recent[str, Server] = Recent(MOST_SESSIONS)

    def choose(self, servers: Sequence[Server], session: str | None) -> Server:
        best = servers[0] if len(servers) == 1 else min(servers, key=self._load)
        if session is None:
            return best
        last = self._last.get(session)
        if last is not None and any(each is last for each in servers):
            (avoided, busy, _), (best_avoided, best_busy, _) = self._load(last), self._load(best)
            if avoided <= best_avoided and busy <= best_busy + HEADSTART:
                return last
        self._last.keep(session, best)
        return best
