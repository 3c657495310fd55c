"""Access control in front of every route of an engine's server.

With QVL_ENGINE_KEY set, a request must hold it on every route but /health: the engines' own keys leave
routes open (vLLM's covers /v1 and a few others, but not /invocations, which answers chats).
Routes that change weights, caches or processes accept requests from this machine only.
"""

import hmac
import ipaddress
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

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
App = Callable[[Any, Any, Any], Awaitable[None]]


class AccessGuard:
    """ASGI middleware."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.key = os.environ.get("QVL_ENGINE_KEY", "")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket") or scope.get("method") == "OPTIONS":
            return await self.app(scope, receive, send)
        path = scope["path"]
        if path in OPEN:
            return await self.app(scope, receive, send)
        local = is_local(scope.get("client"))
        if local and path == OWN:
            return await self.app(scope, receive, send)
        if self.key and not self._holds_key(scope):
            return await refuse(send, scope, 401, "the key is missing or wrong")
        if not local and not is_public(path):
            return await refuse(send, scope, 403, f"{path} answers this machine alone")
        return await self.app(scope, receive, send)

    def _holds_key(self, scope: Any) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, f"Bearer {self.key}".encode())


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
    body = json.dumps({"error": {"message": message, "type": "qvl", "code": status}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
