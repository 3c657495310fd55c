"""Fetch an http(s) address of a record, never from a private network.

A name is resolved once and the connection goes to the very address that was checked, so that a name
which resolves to another address a moment later reaches nothing (DNS rebinding). Proxies of the
environment are not used: they would resolve the name again.
"""

import http.client
import ipaddress
import socket
import time
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    UnknownHandler,
)

from qvl.media.errors import MediaError

MAX_BYTES = 1 << 26
TIMEOUT_SECONDS = 30.0  # for the whole answer, and for each step towards it
PIECE = 1 << 16
SAFE = "/?%:=&~+!$,;'@()*[]"  # of a path or query that is not to be quoted again

NOT_PUBLIC = [  # which Python takes for global, although they may lead into a private network
    ipaddress.ip_network(each)
    for each in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b::/96",  # NAT64: an IPv4 address behind a translator
        "64:ff9b:1::/48",
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4: an IPv4 address in a tunnel
        "fec0::/10",  # site-local
    )
]


class PrivateAddress(OSError):
    """A host that is, or resolves to, an address which is not public."""


def fetch(url: str, name: str) -> bytes:
    """The content at an address. MediaError, which begins with `name`, if it cannot be had."""
    until = time.monotonic() + TIMEOUT_SECONDS
    try:
        with _opener().open(_quoted(url), timeout=TIMEOUT_SECONDS) as response:
            content = _read(response, until)
    except HTTPError as error:
        error.close()
        raise MediaError(f"{name}: HTTP {error.code} {error.reason}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None)
        reason = error if reason is None or isinstance(error, UnicodeError) else reason
        text = getattr(reason, "strerror", None) or reason
        raise MediaError(f"{name}: {' '.join(str(text).split())}") from None
    if len(content) > MAX_BYTES:
        raise MediaError(f"{name}: larger than {MAX_BYTES >> 20} MiB")
    return content


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    parsed = ipaddress.ip_address(address)
    special = any(parsed.version == each.version and parsed in each for each in NOT_PUBLIC)
    return parsed.is_global and not parsed.is_multicast and not special


def _read(response: Any, until: float) -> bytes:
    """What a response holds, up to a byte more than allowed. TimeoutError after `until`."""
    pieces, size = [], 0
    while size <= MAX_BYTES and (piece := response.read(PIECE)):
        pieces.append(piece)
        size += len(piece)
        if time.monotonic() > until:
            raise TimeoutError(f"no answer within {TIMEOUT_SECONDS:.0f} s")
    return b"".join(pieces)[: MAX_BYTES + 1]


def _connect(address: tuple[str, int], timeout: Any = None, source: Any = None) -> socket.socket:
    """A connection to a host, if all its addresses are public; socket.create_connection's form."""
    host, port = address
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, place in found:
        if not is_public(str(place[0])):
            raise PrivateAddress(f"{host} is a private address")
    failed: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, place in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(timeout)
            connection.connect(place)
        except OSError as error:
            connection.close()
            failed = error
        else:
            return connection
    raise failed


class _Http(http.client.HTTPConnection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._create_connection = _connect  # HTTPSConnection, too, connects by it


class _Https(http.client.HTTPSConnection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._create_connection = _connect


class _HttpHandler(HTTPHandler):
    def http_open(self, req: Any) -> Any:
        return self.do_open(_Http, req)


class _HttpsHandler(HTTPSHandler):
    def https_open(self, req: Any) -> Any:
        return self.do_open(_Https, req)


def _opener() -> Any:
    """Opens http and https by these connections alone, redirects too; build_opener adds ftp and file."""
    opener = OpenerDirector()
    for handler in (
        _HttpHandler,
        _HttpsHandler,
        HTTPRedirectHandler,
        HTTPErrorProcessor,
        HTTPDefaultErrorHandler,
        UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _quoted(url: str) -> str:
    """An address whose path and query are ASCII, as browsers send them."""
    parts = urlsplit(url)
    path, query = (quote(each, safe=SAFE) for each in (parts.path, parts.query))
    return parts._replace(path=path, query=query, fragment="").geturl()
