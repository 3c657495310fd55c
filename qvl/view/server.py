"""The page over HTTP, for this machine alone.

Every address begins with a token that only the printed URL has, so other users and programs of this machine
do not read the streams; web pages of other sites are refused besides. The page runs its own script only
(Content-Security-Policy), and gets no content of a record but text and images that were encoded here.
"""

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from qvl.engines.serving import http, server
from qvl.engines.serving.http import BadRequest
from qvl.errors import UserError
from qvl.media.errors import MediaError
from qvl.view import bundle
from qvl.view.viewer import NotThere, Viewer

HOST = "127.0.0.1"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
KEEP = {"Cache-Control": "private, max-age=3600"}  # a record does not change, and the token is new
MAX_QUERY = 10_000  # characters of a filter or a text


def serve(viewer: Viewer, port: int, ready: Callable[[str], None]) -> None:
    """Serve until a signal: KeyboardInterrupt or Terminated. `ready` gets the URL of the page."""
    listener = server.bind(HOST, port)
    with listener:
        token = secrets.token_urlsafe(24)
        url = f"{server.address(listener)}/{token}/"
        viewer.start()
        try:
            app = make_app(viewer, token)
            asyncio.run(server.run_app(app, listener, lambda: ready(url), (), url))
        finally:
            viewer.close()


def make_app(viewer: Viewer, token: str) -> web.Application:
    """The application; its addresses begin with `token`."""
    app = web.Application(middlewares=[_with_headers, http.answered(None), _authorized(token)])
    files = {
        "": (bundle.served, "text/html"),
        "app.js": (bundle.script, "text/javascript"),
        "app.css": (bundle.style, "text/css"),
    }
    for name, (make, kind) in files.items():
        app.router.add_get(f"/{{token}}/{name}", _file(make, kind))
    for name, answer in Answers(viewer).routes().items():
        app.router.add_get(f"/{{token}}/api/{name}", answer)
    return app


class Answers:
    """What the page asks for. Each answer is made in a thread: it reads files and decodes images."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer

    def routes(self) -> dict[str, http.Handler]:
        viewer = self.viewer
        return {
            "state": _json(lambda q: viewer.state()),
            "rows": _json(self._rows),
            "record": _json(lambda q: viewer.record(q.number("stream"), q.number("n"))),
            "find": _json(lambda q: viewer.find(q.number("stream"), q.text("id"))),
            "segments": _json(lambda q: viewer.segments(q.number("stream"), q.number("n"))),
            "pack": _json(
                lambda q: viewer.pack_tokens(
                    q.number("stream"), q.number("n"), q.number("start"), q.number("count")
                )
            ),
            "tokens": _json(
                lambda q: viewer.response_tokens(
                    *(q.number(name) for name in ("stream", "n", "response", "start", "count"))
                )
            ),
            "frames": _json(
                lambda q: viewer.frames(*(q.number(name) for name in ("stream", "n", "medium")))
            ),
            "image": _image(viewer),
        }

    def _rows(self, query: "Query") -> dict[str, Any]:
        return self.viewer.rows(
            query.number("stream"),
            query.text("where"),
            query.text("text"),
            query.number("first"),
            query.number("count"),
            query.number("at") if query.text("at") else None,
        )


class Query:
    """The parameters of a request. BadRequest for those that are missing or none."""

    def __init__(self, request: web.Request) -> None:
        self._values = request.query

    def number(self, name: str) -> int:
        value = self._values.get(name, "")
        if not (value.isascii() and value.isdigit() and len(value) < 16):
            raise BadRequest(f"{name}: expected a whole number")
        return int(value)

    def text(self, name: str) -> str:
        value = self._values.get(name, "")
        if len(value) > MAX_QUERY:
            raise BadRequest(f"{name}: more than {MAX_QUERY:,} characters")
        return value


def _json(answer: Callable[[Query], dict[str, Any]]) -> http.Handler:
    async def handler(request: web.Request) -> web.Response:
        return http.json_response(await _in_thread(answer, Query(request)))

    return handler


def _image(viewer: Viewer) -> http.Handler:
    def read(query: Query) -> tuple[bytes, str]:
        place = [query.number(name) for name in ("stream", "n", "medium")]
        return viewer.image(*place, large=query.text("large") == "1")

    async def handler(request: web.Request) -> web.Response:
        content, kind = await _in_thread(read, Query(request))
        return web.Response(body=content, content_type=kind, headers=KEEP)

    return handler


async def _in_thread(function: Callable[[Query], Any], query: Query) -> Any:
    """function(query); an error of the user's becomes the answer."""
    try:
        return await asyncio.to_thread(function, query)
    except (NotThere, MediaError) as error:
        raise BadRequest(str(error), 404) from None
    except UserError as error:
        raise BadRequest(str(error)) from None


def _file(make: Callable[[], str], kind: str) -> http.Handler:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=make(), content_type=kind, charset="utf-8")

    return handler


def _authorized(token: str) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: http.Handler) -> web.StreamResponse:
        given = request.match_info.get("token", "")
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode()):
            raise BadRequest("open the address that qvl view printed, with its token", 403)
        return await handler(request)

    return check


@web.middleware
async def _with_headers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    response = await handler(request)
    response.headers.update(HEADERS)
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    return response
