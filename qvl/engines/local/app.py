"""The HTTP server of the local engine: every route, who may use it, and errors in OpenAI's shape.

aiohttp, because the client needs it anyway; it cancels a handler whose client disconnects, and
thousands of waiting requests need no threads.
"""

from typing import Any

import orjson
from aiohttp import web

from qvl.engines.local import api
from qvl.engines.local.chat import ChatRoutes
from qvl.engines.local.control import ControlRoutes, check_local
from qvl.engines.local.engine import EngineFailed
from qvl.engines.local.service import Service
from qvl.engines.serving import server

MAX_BODY = 1 << 28  # bytes: a conversation with many images inside


def make_app(service: Service) -> web.Application:
    """The application that serves a checkpoint."""
    options = service.options

    @web.middleware
    async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if request.path != "/health" and not server.holds_key(given, options.key):
            return _error(401, "the key is missing or wrong", "authentication_error")
        try:
            check_local(request)
            return await handler(request)
        except api.BadRequest as error:
            return _error(400, str(error), "invalid_request_error")
        except EngineFailed as error:  # 503: a client should try again, here or elsewhere
            return _error(503, str(error), "server_error")
        except web.HTTPException as error:
            kind = "invalid_request_error" if error.status < 500 else "server_error"
            return _error(error.status, error.text or error.reason, kind)

    async def health(request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def models(request: web.Request) -> web.Response:
        model = {
            "id": options.name,
            "object": "model",
            "created": 0,
            "owned_by": "qvl",
            "max_model_len": service.max_model_len,
        }
        return _json(200, {"object": "list", "data": [model]})

    async def start(app: web.Application) -> None:
        service.start()

    async def stop(app: web.Application) -> None:
        await service.stop()

    app = web.Application(client_max_size=MAX_BODY, middlewares=[guard])
    app.router.add_get("/health", health)
    app.router.add_get("/v1/models", models)
    ChatRoutes(service).add_to(app)
    ControlRoutes(service).add_to(app)
    app.on_startup.append(start)
    app.on_shutdown.append(stop)
    return app


def _json(status: int, body: dict) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _error(status: int, message: str, kind: str) -> web.Response:
    return _json(status, server.error_body(message, kind))
