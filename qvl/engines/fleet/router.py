"""The endpoint in front of several replicas: each request goes to the least busy one, and those of a session,
by their header X-Session-Id, to the same one.

A complete response is passed on; a request whose replica fails goes to another. A stream is passed on as
it arrives, so one that breaks ends with an error, and its client must repeat it. Only requests that do
not change an engine are forwarded; the routes that do act on all replicas (qvl.engines.fleet.control).
They have the shapes of the local engine and answer this machine alone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    TCPConnector,
    web,
)
from yarl import URL

from qvl.client.endpoint import SESSION
from qvl.engines.fleet.fleet import Fleet
from qvl.engines.fleet.replica import Replica
from qvl.engines.inject.qvl_engine_guard import is_local, is_public
from qvl.engines.serving import http
from qvl.engines.serving.http import INVALID_REQUEST, error_response
from qvl.engines.weights import UPDATE_ROUTE
from qvl.errors import UserError

MAX_TRIES = 4  # of one request: one that crashes every replica must not go on for ever
CONNECT_SECONDS = 10.0
WAIT_SECONDS = 300.0  # for a replica, if none is up; pauses do not count
WAIT_STEP_SECONDS = 0.05
PIECE = 1 << 18  # bytes of a body that are forwarded at a time
OF_ONE_REPLICA = ("/metrics", "/server_info")
NEEDED_CAPABILITY = {UPDATE_ROUTE: "weights", "/sleep": "sleep", "/wake_up": "sleep"}
REQUEST_HEADERS = ("Authorization", "Content-Type", "X-Request-Id")  # that are forwarded
RESPONSE_HEADERS = ("Retry-After", "X-Request-Id")
JSON = "application/json"


class _TryAnother(Exception):
    """A replica did not respond, or responded that it failed: `response`, if any."""

    def __init__(self, response: web.Response | None) -> None:
        super().__init__()
        self.response = response


class Router:
    """The routes of the endpoint."""

    def __init__(self, fleet: Fleet, key: str | None) -> None:
        self.fleet, self.key = fleet, key
        self.control = control = fleet.control
        self._is_stopping = False
        self._commands: set[asyncio.Task[None]] = set()  # in progress
        self._own: dict[tuple[str, str], Callable[[bytearray], Awaitable[Any]]] = {
            ("GET", "/replicas"): self._facts,
            ("GET", "/weight_info"): self._weight_info,
            ("POST", "/pause"): lambda _: control.pause(),
            ("POST", "/resume"): lambda _: control.resume(),
            ("POST", "/sleep"): lambda _: control.sleep(),
            ("POST", "/wake_up"): lambda _: control.wake(),
            ("POST", UPDATE_ROUTE): self._load_weights,
        }
        self._routes = {path for _, path in self._own}

    def app(self) -> web.Application:
        app = web.Application(middlewares=[http.answered(self.key)])
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._shutdown)
        app.on_cleanup.append(self._clean_up)
        return app

    async def _start(self, app: web.Application) -> None:
        self._session = ClientSession(
            connector=TCPConnector(limit=0),
            timeout=ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
        )

    async def _shutdown(self, app: web.Application) -> None:
        """Stop the replicas first: they answer the requests in flight that they are stopping."""
        self._is_stopping = True
        await self.fleet.stop()

    async def _clean_up(self, app: web.Application) -> None:
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            up = self.fleet.pick(()) is not None
            return web.Response(text="ok\n") if up else error_response(503, "no replica is up")
        url = URL("http://replica").with_path(request.path).with_query(request.query)
        if url.path in self._routes and url.path in self._own_routes():
            if not is_local((request.remote,)):
                return error_response(
                    403, f"{url.path} answers this machine alone", INVALID_REQUEST
                )
            return await self._run_command(request.method, url.path, await http.read_body(request))
        if not is_public(url.path) or url.path in OF_ONE_REPLICA:
            return error_response(
                403, f"{url.path}: send it to each replica itself", INVALID_REQUEST
            )
        return await self._route(request, url)

    async def _route(self, request: web.Request, url: URL) -> web.StreamResponse:
        """Forward a request to one replica after the other until one responds."""
        body = await http.read_body(request)
        tried: list[int] = []
        patience = WAIT_SECONDS
        while len(tried) < MAX_TRIES and patience > 0 and not self._is_stopping:
            is_held = self.control.is_paused and request.method == "POST"
            session = request.headers.get(SESSION)
            replica = None if is_held else self.fleet.pick(tried, session)
            if replica:
                try:
                    # One that cannot be reached is ending; this is no try.
                    with contextlib.suppress(ClientConnectorError):
                        return await self._forward(replica, request, url, body)
                except _TryAnother as failed:
                    tried.append(replica.number)
                    is_last = len(tried) == MAX_TRIES or self._is_stopping
                    if failed.response is not None and is_last:
                        return failed.response
                    continue
            await asyncio.sleep(WAIT_STEP_SECONDS)
            patience -= 0 if is_held else WAIT_STEP_SECONDS
        return error_response(
            503, "the server is stopping" if self._is_stopping else "no replica responds"
        )

    def _own_routes(self) -> set[str]:
        """The routes that act on all replicas, if the engines have the capability."""
        capabilities = self.fleet.facts()["capabilities"]
        return {
            path
            for path in self._routes
            if path not in NEEDED_CAPABILITY or NEEDED_CAPABILITY[path] in capabilities
        }

    async def _run_command(self, method: str, path: str, body: bytearray) -> web.Response:
        """Run a command to its end, also if its client disconnects."""
        if (method, path) not in self._own:
            return error_response(405, f"{path}: method {method} not allowed", INVALID_REQUEST)
        command = asyncio.ensure_future(self._own[method, path](body))
        self._commands.add(command)
        command.add_done_callback(self._commands.discard)
        try:
            result = await asyncio.shield(command)
        except UserError as error:
            return error_response(400, str(error), INVALID_REQUEST)
        return web.Response(body=orjson.dumps(result or {"success": True}), content_type=JSON)

    async def _facts(self, _: bytearray) -> dict:
        return self.fleet.facts()

    async def _weight_info(self, _: bytearray) -> dict:
        control = self.control
        return {
            "weight_version": control.weight_version,
            "model_path": str(control.folder.resolve()),
        }

    async def _load_weights(self, body: bytearray) -> None:
        try:
            fields = orjson.loads(body)
            folder, version = Path(fields["model_path"]), str(fields["weight_version"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise UserError("expected model_path and weight_version, both strings") from None
        await self.control.load_weights(folder, version)
        self.fleet.facts_changed()

    async def _forward(
        self, replica: Replica, request: web.Request, url: URL, body: bytearray
    ) -> web.StreamResponse:
        headers = _pick(request.headers, REQUEST_HEADERS)
        if body:
            headers["Content-Length"] = str(len(body))
        replica.in_flight += 1
        replica.num_requests += 1
        try:
            answer = await self._session.request(
                request.method,
                URL(replica.endpoint).join(url.relative()),
                data=_pieces(body) if body else None,
                headers=headers,
                allow_redirects=False,
            )
            async with answer:
                if answer.content_type == "text/event-stream":
                    return await _stream(request, answer)
                content = await answer.read()
        except ClientConnectorError:
            raise
        except (ClientError, TimeoutError):
            raise _TryAnother(None) from None
        finally:
            replica.in_flight -= 1
        if url.path == "/openapi.json":
            content = _openapi(content, self._own_routes())
        response = web.Response(
            body=content,
            status=answer.status,
            content_type=answer.content_type,
            headers=_pick(answer.headers, RESPONSE_HEADERS),
        )
        if answer.status >= 500:
            raise _TryAnother(response)
        return response


async def _pieces(body: bytearray) -> AsyncIterator[memoryview]:
    """A body in pieces: aiohttp would copy it whole, twice, and the event loop would wait for it."""
    view = memoryview(body)
    for begin in range(0, len(view), PIECE):
        yield view[begin : begin + PIECE]


async def _stream(request: web.Request, answer: ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status, headers={"Content-Type": "text/event-stream"}
    )
    try:
        await response.prepare(request)
        async for chunk in _chunks(answer):
            await response.write(chunk)
    except ClientError:  # our own client has disconnected
        return response
    except _TryAnother:  # too late for another replica
        failure = http.error_body("the replica ended in the middle of a response", "server_error")
        with contextlib.suppress(ClientError):
            await response.write(b"data: " + orjson.dumps(failure) + b"\n\n")
        if request.transport:  # without the last chunk, so that the client sees a broken stream
            request.transport.close()
    return response


async def _chunks(answer: ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    except ClientError:
        raise _TryAnother(None) from None


def _pick(headers: Any, names: tuple[str, ...]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}


def _openapi(content: bytes, own: set[str]) -> bytes:
    """A replica's openapi.json, reduced to the routes that are forwarded and our own."""
    try:
        described = orjson.loads(content)
        paths = described["paths"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return content
    forwarded = {
        path: route
        for path, route in paths.items()
        if is_public(path) and path not in OF_ONE_REPLICA
    }
    described["paths"] = forwarded | {path: paths.get(path, {}) for path in sorted(own)}
    return orjson.dumps(described)
