"""The one endpoint in front of several replicas: each request goes to the least busy of them.

What came back whole is passed on; what did not, because its replica ended, is asked of another. A
stream is passed on as it comes, so one that has begun is cut with an error, for its client to ask
again. Only routes that ask pass: what changes an engine is told to all by routes of our own, which
answer this machine alone (see qvl.engines.fleet.control) and have the shapes of the local engine.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

from qvl.engines.inject.qvl_engine_guard import is_near, may_be_asked_from_afar
from qvl.engines.serving import server
from qvl.engines.weights import UPDATE
from qvl.errors import UserError

if TYPE_CHECKING:
    from qvl.engines.fleet.replicas import Fleet, Replica

MAX_BODY = 1 << 28  # bytes, as the local engine takes
TRIES = 4  # of one request: one that kills whoever gets it must not do so for ever
CONNECT_SECONDS = 10.0
WAIT_SECONDS = 300.0  # for a replica to come back, where all are gone; pauses do not count
WAIT_STEP_SECONDS = 0.05
OF_ONE_REPLICA = ("/metrics", "/server_info")
NEEDS = {UPDATE: "weights", "/sleep": "sleep", "/wake_up": "sleep"}  # of the engines
PASSED_ON = ("Authorization", "Content-Type", "X-Request-Id")
PASSED_BACK = ("Retry-After", "X-Request-Id")
JSON = "application/json"
REFUSED = "invalid_request_error"


class _TryAnother(Exception):
    """A replica gave no answer, or one that says that it failed: `answer`, if any."""

    def __init__(self, answer: web.Response | None) -> None:
        super().__init__()
        self.answer = answer


class Front:
    """The routes of all replicas."""

    def __init__(self, fleet: "Fleet", key: str | None) -> None:
        self.fleet, self.key = fleet, key
        self.orders = orders = fleet.orders
        self._ending = False
        self._given: set[asyncio.Task[None]] = set()  # orders under way
        self._own: dict[tuple[str, str], Callable[[bytes], Awaitable[Any]]] = {
            ("GET", "/replicas"): self._tell,
            ("GET", "/weight_info"): self._weights,
            ("POST", "/pause"): lambda _: orders.pause(),
            ("POST", "/resume"): lambda _: orders.resume(),
            ("POST", "/sleep"): lambda _: orders.sleep(),
            ("POST", "/wake_up"): lambda _: orders.wake(),
            ("POST", UPDATE): self._update,
        }
        self._routes = {path for _, path in self._own}

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
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
        """Whoever waits hears from the replicas that they are stopping."""
        self._ending = True
        await self.fleet.stop()

    async def _clean_up(self, app: web.Application) -> None:
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            up = self.fleet.pick(()) is not None
            return web.Response(text="ok\n") if up else _error(503, "no replica is up")
        if not server.holds_key(request.headers.get("Authorization", ""), self.key):
            return _error(401, "the key is missing or wrong", "authentication_error")
        asked = URL("http://replica").with_path(request.path).with_query(request.query)
        if asked.path in self._routes and asked.path in self._own_routes():
            if not is_near((request.remote,)):
                return _error(403, f"{asked.path} answers this machine alone", REFUSED)
            return await self._obey(request.method, asked.path, await request.read())
        if not may_be_asked_from_afar(asked.path) or asked.path in OF_ONE_REPLICA:
            return _error(403, f"{asked.path}: ask each replica itself", REFUSED)
        body = await request.read()
        tried: list[int] = []
        patience = WAIT_SECONDS
        while len(tried) < TRIES and patience > 0 and not self._ending:
            held = self.orders.paused and request.method == "POST"
            replica = None if held else self.fleet.pick(tried)
            if replica:
                try:
                    # One that cannot be reached is ending, and was not even asked.
                    with contextlib.suppress(ClientConnectorError):
                        return await self._ask(replica, request, asked, body)
                except _TryAnother as failed:
                    tried.append(replica.number)
                    if failed.answer is not None and (len(tried) == TRIES or self._ending):
                        return failed.answer
                    continue
            await asyncio.sleep(WAIT_STEP_SECONDS)
            patience -= 0 if held else WAIT_STEP_SECONDS
        return _error(503, "the server is stopping" if self._ending else "no replica answers")

    def _own_routes(self) -> set[str]:
        """Those of our own, as far as the engines can do what they say."""
        can = self.fleet.facts()["capabilities"]
        return {path for path in self._routes if path not in NEEDS or NEEDS[path] in can}

    async def _obey(self, method: str, path: str, body: bytes) -> web.Response:
        """The answer once an order is carried out, as it is also where its client has gone."""
        if (method, path) not in self._own:
            return _error(405, f"{path}: no {method}", REFUSED)
        order = asyncio.ensure_future(self._own[method, path](body))
        self._given.add(order)
        order.add_done_callback(self._given.discard)
        try:
            said = await asyncio.shield(order)
        except UserError as error:
            return _error(400, str(error), REFUSED)
        return web.Response(body=orjson.dumps(said or {"success": True}), content_type=JSON)

    async def _tell(self, _: bytes) -> dict:
        return self.fleet.facts()

    async def _weights(self, _: bytes) -> dict:
        orders = self.orders
        return {"weight_version": orders.version, "model_path": str(orders.folder.resolve())}

    async def _update(self, body: bytes) -> None:
        try:
            said = orjson.loads(body)
            folder, version = Path(said["model_path"]), str(said["weight_version"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise UserError("expected model_path and weight_version, both strings") from None
        await self.orders.load(folder, version)
        self.fleet.tell_news()

    async def _ask(
        self, replica: "Replica", request: web.Request, asked: URL, body: bytes
    ) -> web.StreamResponse:
        replica.busy += 1
        replica.asked += 1
        try:
            answer = await self._session.request(
                request.method,
                URL(replica.endpoint).join(asked.relative()),
                data=body or None,
                headers=_some(request.headers, PASSED_ON),
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
            replica.busy -= 1
        if asked.path == "/openapi.json":
            content = _described(content, self._own_routes())
        passed = web.Response(
            body=content,
            status=answer.status,
            content_type=answer.content_type,
            headers=_some(answer.headers, PASSED_BACK),
        )
        if answer.status >= 500:
            raise _TryAnother(passed)
        return passed


async def _stream(request: web.Request, answer: ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(
        status=answer.status, headers={"Content-Type": "text/event-stream"}
    )
    try:
        await response.prepare(request)
        async for piece in _pieces(answer):
            await response.write(piece)
    except ClientError:  # our own client is gone: nobody is left to answer
        return response
    except _TryAnother:  # too late for that
        failure = server.error_body("the replica ended in the middle of an answer", "server_error")
        with contextlib.suppress(ClientError):
            await response.write(b"data: " + orjson.dumps(failure) + b"\n\n")
        if request.transport:  # without the mark of an end, so that nobody takes it for whole
            request.transport.close()
    return response


async def _pieces(answer: ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.content.iter_any():
            yield piece
    except ClientError:
        raise _TryAnother(None) from None


def _some(headers: Any, names: tuple[str, ...]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}


def _described(content: bytes, own: set[str]) -> bytes:
    """A replica's openapi.json with the routes that are forwarded, and our own."""
    try:
        described = orjson.loads(content)
        paths = described["paths"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return content
    passed = {
        path: said
        for path, said in paths.items()
        if may_be_asked_from_afar(path) and path not in OF_ONE_REPLICA
    }
    described["paths"] = passed | {path: paths.get(path, {}) for path in sorted(own)}
    return orjson.dumps(described)


def _error(status: int, message: str, kind: str = "server_error") -> web.Response:
    body = orjson.dumps(server.error_body(message, kind))
    return web.Response(body=body, status=status, content_type=JSON)
