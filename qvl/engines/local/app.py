"""The HTTP server of the local engine: every route, who may use it, and errors in OpenAI's shape.

aiohttp, because the client needs it anyway; it cancels a handler whose client disconnects, and
thousands of waiting requests need no threads.
"""

from aiohttp import web

from qvl.engines.local.chat import ChatRoutes
from qvl.engines.local.control import ControlRoutes, check_local
from qvl.engines.local.engine import EngineFailed
from qvl.engines.local.service import Service
from qvl.engines.serving import http


def make_app(service: Service) -> web.Application:
    """The application that serves a checkpoint."""
    options = service.options

    @web.middleware
    async def guard(request: web.Request, handler: http.Handler) -> web.StreamResponse:
        try:
            check_local(request)
            return await handler(request)
        except EngineFailed as error:  # 503: a client should try again, here or elsewhere
            return http.error_response(503, str(error))

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
        return http.json_response({"object": "list", "data": [model]})

    async def start(app: web.Application) -> None:
        service.start()

    async def stop(app: web.Application) -> None:
        await service.stop()

    app = web.Application(middlewares=[http.answered(options.key), guard])
    app.router.add_get("/health", health)
    app.router.add_get("/v1/models", models)
    ChatRoutes(service).add_to(app)
    ControlRoutes(service).add_to(app)
    app.on_startup.append(start)
    app.on_shutdown.append(stop)
    return app
