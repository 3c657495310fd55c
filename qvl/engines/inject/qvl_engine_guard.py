"""Stands before every route of an engine's server: who may ask, and who may change the engine.

With QVL_ENGINE_KEY set, a request must hold it, on every route but /health: the engines' own keys
leave routes open (vLLM guards /v1 and a few others, but not /invocations, which answers chats).
Routes that change weights, caches or processes are refused to whoever asks from another machine.
"""

import hmac
import ipaddress
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

OPEN = ("/health", "/ping")
OWN = "/freeze_gc"  # sglang asks itself, after its start; harmless
FAR = (  # what another machine may ask for; all the rest is for this one
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
NEVER_FAR = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")
App = Callable[[Any, Any, Any], Awaitable[None]]


class Guard:
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
        near = is_near(scope.get("client"))
        if near and path == OWN:
            return await self.app(scope, receive, send)
        if self.key and not self._holds_key(scope):
            return await refuse(send, scope, 401, "the key is missing or wrong")
        if not near and not may_be_asked_from_afar(path):
            return await refuse(send, scope, 403, f"{path} answers this machine alone")
        return await self.app(scope, receive, send)

    def _holds_key(self, scope: Any) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, f"Bearer {self.key}".encode())


def is_near(client: Any) -> bool:
    """Whether a request comes from this machine; a Unix socket has no client."""
    if client is None:
        return True
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def may_be_asked_from_afar(path: str) -> bool:
    if path.startswith(NEVER_FAR):
        return False
    return any(path == each or (each.endswith("/") and path.startswith(each)) for each in FAR)


async def refuse(send: Any, scope: Any, status: int, message: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": message})
        return
    body = json.dumps({"error": {"message": message, "type": "qvl", "code": status}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
