"""Access control in front of every route of an engine's server, and of what a request may have it read.

With QVL_ENGINE_KEY set, a request must hold it on every route but /health: the engines' own keys leave
routes open (vLLM's covers /v1 and a few others, but not /invocations, which answers chats).
Routes that change weights, caches or processes accept requests from this machine only. Images and
videos are read here, by qvl's rules (qvl_engine_media.py), so that the engine fetches nothing. Without a key a
request must not come from a web page of another site: any page may make its visitor's browser send one.
"""

import asyncio
import hmac
import ipaddress
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

OPEN = ("/health", "/ping")  # without a key
OWN = "/freeze_gc"  # SGLang sends it to itself after its start; harmless
PUBLIC = (  # for other machines too; all others are for this machine
    "/v1/",
    "/inference/v1/",
    "/generate",
    "/tokenize",
    "/detokenize",
    "/classify",
    "/pooling",
    "/score",
    "/rerank",
    "/encode",
    "/version",
    "/model_info",
    "/server_info",
    "/metrics",
    "/openapi.json",
)
NEVER_PUBLIC = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")
MAX_BODY = 1 << 28  # bytes, as the local engine's
SMALL_BODY = 1 << 16  # is read in the event loop
App = Callable[[Any, Any, Any], Awaitable[None]]


class AccessGuard:
    """ASGI middleware."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.key = os.environ.get("QVL_ENGINE_KEY", "")
        root = os.environ.get("QVL_MEDIA_ROOT")
        self.media_root = Path(root) if root else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        if not self.key and is_cross_site(lambda name: _header(scope, name)):
            reason = "this server answers no web page of another site"
            return await refuse(send, scope, 403, reason)
        path = scope["path"]
        if path in OPEN or scope.get("method") == "OPTIONS":
            return await self.app(scope, receive, send)
        local = is_local(scope.get("client"))
        if local and path == OWN:
            return await self.app(scope, receive, send)
        if self.key and not self._holds_key(scope):
            return await refuse(send, scope, 401, "the key is missing or wrong")
        if not local and not is_public(path):
            return await refuse(send, scope, 403, f"{path} answers this machine alone")
        if scope.get("method") in ("POST", "PUT", "PATCH"):
            try:
                scope, receive = await self._screened(scope, receive)
            except Refusal as error:
                return await refuse(send, scope, error.status, str(error))
        return await self.app(scope, receive, send)

    async def _screened(self, scope: Any, receive: Any) -> tuple[Any, Any]:
        """The scope and receive of a request, with the media of its body read. Refusal if not."""
        from qvl_engine_media import screened  # pyright: ignore[reportMissingImports]

        if (_header(scope, "Content-Type") or "").startswith("multipart/"):
            return scope, receive
        if (_header(scope, "Content-Encoding") or "identity").lower() != "identity":
            raise Refusal(415, "Content-Encoding: a body must not be compressed")
        pieces: list[bytes] = []
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the client has gone
                return scope, _replayed(message, receive)
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
            if sum(map(len, pieces)) > MAX_BODY:
                raise Refusal(413, f"the body is larger than {MAX_BODY >> 20} MiB")
        body = b"".join(pieces)
        try:
            if len(body) > SMALL_BODY:
                body = await asyncio.to_thread(screened, body, self.media_root)
            else:
                body = screened(body, self.media_root)
        except ValueError as error:
            raise Refusal(400, str(error)) from None
        replaced = (b"content-length", b"transfer-encoding")
        headers = [each for each in scope["headers"] if each[0].lower() not in replaced]
        scope = {**scope, "headers": [*headers, (b"content-length", b"%d" % len(body))]}
        return scope, _replayed({"type": "http.request", "body": body, "more_body": False}, receive)

    def _holds_key(self, scope: Any) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, f"Bearer {self.key}".encode())


class Refusal(Exception):
    """A request that is answered with an error status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def _header(scope: Any, name: str) -> str | None:
    """The last header of a request with this name."""
    wanted = name.lower().encode()
    found = [value for given, value in scope["headers"] if given.lower() == wanted]
    return found[-1].decode("latin-1") if found else None


def _replayed(message: dict[str, Any], receive: Any) -> Any:
    """An ASGI receive that returns `message` first."""
    waiting = [message]

    async def replay() -> Any:
        return waiting.pop() if waiting else await receive()

    return replay


def is_cross_site(header: Callable[[str], str | None]) -> bool:
    """Whether a web page of another site has a browser send a request, by its headers.

    Browsers send Origin, and newer ones Sec-Fetch-Site. A page whose name resolves to this machine
    (DNS rebinding) is the same site, so the Host must be this machine's own name.
    """
    host, origin = header("Host"), header("Origin")
    if host is not None and not _is_own_name(host):
        return True
    if origin is not None and not _is_own_name(origin.partition("://")[2]):
        return True
    return header("Sec-Fetch-Site") == "cross-site"


def _is_own_name(netloc: str) -> bool:
    """Whether "host:port" is localhost or a loopback address."""
    try:
        name = urlsplit(f"//{netloc}").hostname or ""
        if name == "localhost" or name.endswith(".localhost"):
            return True
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_local(client: Any) -> bool:
    """Whether a request comes from this machine; a Unix socket has no client address."""
    if client is None:
        return True
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def is_public(path: str) -> bool:
    """Whether other machines may use a route."""
    if path.startswith(NEVER_PUBLIC):
        return False
    return any(path == each or (each.endswith("/") and path.startswith(each)) for each in PUBLIC)


async def refuse(send: Any, scope: Any, status: int, message: str) -> None:
    """Answer a request with an error."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": message})
        return
    body = json.dumps(
        {
            "error": {
                "message": message,
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
        }
    ).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
