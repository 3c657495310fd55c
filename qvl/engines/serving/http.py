"""What the HTTP servers of qvl share: whom they answer, how a body is read, errors in OpenAI's shape.

A server must survive any one request: bodies are read within limits of size and time, and whatever goes
wrong is an error for its client alone.
"""

import asyncio
import hmac
import logging
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from qvl.engines.inject.qvl_engine_guard import is_cross_site
from qvl.engines.serving.json_body import JsonBody, NotJson, TooLarge

MAX_BODY = 1 << 28  # bytes: a conversation with many images inside
HEADER_SECONDS = 30.0  # for a connection to send a request's headers, or the next request
BODY_SECONDS = 30.0  # between two pieces of a body
INVALID_REQUEST = "invalid_request_error"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BadRequest(Exception):
    """An HTTP status of 400 to 499: what is wrong with a request."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def runner(app: web.Application, **options: Any) -> web.AppRunner:
    """The runner of an application, for connections that may be slow and bodies that may be packed.

    aiohttp would unpack a compressed body in the event loop, and log a broken request with its headers,
    the key among them: here `answered` reports what goes wrong.
    """
    silent = logging.Logger("qvl.http", logging.CRITICAL + 1)
    return web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=None,
        logger=silent,
        auto_decompress=False,
        keepalive_timeout=HEADER_SECONDS,
        **options,
    )


def check_sender(request: web.Request, key: str | None) -> None:
    """BadRequest for a request without the server's key, or, where there is no key, for one that a web
    page of another site sends through its visitor's browser."""
    if key is None and is_cross_site(request.headers.get):
        raise BadRequest("this server answers no web page of another site", 403)
    if not holds_key(request.headers.get("Authorization", ""), key):
        raise BadRequest("the key is missing or wrong", 401)


async def read_body(request: web.Request) -> bytearray:
    """The body of a request. BadRequest beyond the limits."""
    body = bytearray()
    async for piece in _pieces(request):
        body += piece
    return body


async def read_json(request: web.Request) -> Any:
    """The JSON of a request's body. BadRequest beyond the limits, or if it is not JSON."""
    body = JsonBody()
    try:
        async for piece in _pieces(request):
            body.feed(piece)
        return body.finish()
    except TooLarge as error:
        raise BadRequest(f"the body has {error}", 413) from None
    except NotJson as error:
        raise BadRequest(f"the body is not JSON: {error}") from None


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    """The body of a request as it arrives. BadRequest beyond the limits of size and time."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise BadRequest("Content-Encoding: a body must not be compressed", 415)
    if (request.content_length or 0) > MAX_BODY:
        raise _too_large()
    size = 0
    while True:
        try:
            async with asyncio.timeout(
                BODY_SECONDS
            ):  # not around the yield: who reads may leave there
                piece = await request.content.readany()
        except TimeoutError:
            raise BadRequest(f"no more of the body within {BODY_SECONDS:.0f} s", 408) from None
        if not piece:
            return
        size += len(piece)
        if size > MAX_BODY:
            raise _too_large()
        yield piece


def answered(key: str | None) -> Any:
    """The middleware that checks the sender of each request but /health, and answers every error."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.path != "/health":
                check_sender(request, key)
            return await handler(request)
        except BadRequest as error:
            kind = "authentication_error" if error.status == 401 else INVALID_REQUEST
            return error_response(error.status, str(error), kind)
        except web.HTTPException as error:
            kind = INVALID_REQUEST if error.status < 500 else "server_error"
            return error_response(error.status, error.text or error.reason, kind)
        except ConnectionError:  # the client has gone
            raise
        except Exception as error:  # noqa: BLE001 - a bug is one client's, and its traceback ours
            traceback.print_exc(file=sys.stderr)
            return error_response(500, f"a bug of qvl: {type(error).__name__}", "server_error")

    return answer


def holds_key(authorization: str, key: str | None) -> bool:
    """Whether a request's Authorization holds the server's key, if it has one."""
    given = authorization.encode("utf-8", "surrogateescape")  # bytes that are not UTF-8
    return key is None or hmac.compare_digest(given, f"Bearer {key}".encode())


def error_body(message: str, kind: str) -> dict:
    """An error in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def json_response(body: Any, status: int = 200) -> web.Response:
    """A response with this JSON, which may hold numpy arrays."""
    text = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return web.Response(body=text, status=status, content_type="application/json")


def error_response(status: int, message: str, kind: str = "server_error") -> web.Response:
    """An error in OpenAI's shape."""
    # A text from the request may hold half of a surrogate pair, which JSON in UTF-8 cannot.
    sound = message.encode("utf-8", "replace").decode()
    return json_response(error_body(sound, kind), status)


def _too_large() -> BadRequest:
    return BadRequest(f"the body is larger than {MAX_BODY >> 20} MiB", 413)
