"""The servers of a client, and which of them gets the next request."""

import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from qvl.errors import UserError


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


def least_busy(endpoints: list[Endpoint]) -> Endpoint:
    """The endpoint for the next request: not resting if possible, then least busy, then least used."""
    return min(endpoints, key=lambda each: (each.resting(), each.busy, each.requests))
