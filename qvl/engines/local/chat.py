"""The routes: /health, /v1/models, /v1/chat/completions; those of control.py beside them.

aiohttp, because the client needs it anyway, a handler is cancelled when its client goes away, and
thousands of waiting requests cost no threads.
"""

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from qvl.engines.local import api, control
from qvl.engines.local.batch import Row
from qvl.engines.local.checkpoint import Checkpoint, Prompt
from qvl.engines.local.engine import Engine, EngineFailed
from qvl.engines.local.grammar import Grammars
from qvl.engines.local.sampling import derive
from qvl.engines.local.text import Text
from qvl.engines.serving import server
from qvl.errors import UserError
from qvl.media import images, video

MAX_BODY = 1 << 28  # bytes: a conversation with many images inside
READERS = 2  # threads that render prompts and cut images


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the local engine serves."""

    name: str
    """the model's name in requests"""
    max_batch: int = 64
    """rows decoded together: our choice, where a laptop's throughput levels off"""
    max_model_len: int | None = None
    """tokens of prompt and answer; None is 8,192 or the checkpoint's own limit, if lower"""
    media_root: Path | None = None
    """requests may name files of images and videos below it; None allows data: URIs alone"""
    key: str | None = None
    """what a request's Authorization must hold"""


DEFAULT_MODEL_LEN = 8192


class Server:
    """A loaded checkpoint with its engine and routes."""

    def __init__(self, checkpoint: Checkpoint, options: Options) -> None:
        self.checkpoint, self.options = checkpoint, options
        self.max_model_len = options.max_model_len or min(
            DEFAULT_MODEL_LEN, checkpoint.max_positions
        )
        if self.max_model_len > checkpoint.max_positions:
            raise UserError(
                f"--max-model-len {self.max_model_len}: "
                f"the checkpoint ends at {checkpoint.max_positions}"
            )
        self.engine = Engine(checkpoint, options.max_batch, self._row_failed)
        vocabulary = checkpoint.model.config.text_config.vocab_size
        self.grammars = Grammars(checkpoint.tokenizer, vocabulary, checkpoint.ends)
        self.readers = ThreadPoolExecutor(READERS, thread_name_prefix="prompts")
        self._pending: dict[Row, asyncio.Future[Row]] = {}

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._guard])
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._complete)
        control.Control(self).add_to(app)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._stop)
        return app

    async def _start(self, app: web.Application) -> None:
        self._loop = asyncio.get_running_loop()
        self.engine.start()

    async def _stop(self, app: web.Application) -> None:
        await asyncio.to_thread(self.engine.close)
        self.readers.shutdown(wait=False, cancel_futures=True)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Let in who holds the key, and answer every error in OpenAI's shape."""
        given = request.headers.get("Authorization", "")
        if request.path != "/health" and not server.holds_key(given, self.options.key):
            return _error(401, "the key is missing or wrong", "authentication_error")
        try:
            control.check_near(request)
            return await handler(request)
        except api.BadRequest as error:
            return _error(400, str(error), "invalid_request_error")
        except EngineFailed as error:  # 503: a client does well to try again, here or elsewhere
            return _error(503, str(error), "server_error")
        except web.HTTPException as error:
            kind = "invalid_request_error" if error.status < 500 else "server_error"
            return _error(error.status, error.text or error.reason, kind)

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _models(self, request: web.Request) -> web.Response:
        model = {
            "id": self.options.name,
            "object": "model",
            "created": 0,
            "owned_by": "qvl",
            "max_model_len": self.max_model_len,
        }
        return _json(200, {"object": "list", "data": [model]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        try:
            body = orjson.loads(await request.read())
        except orjson.JSONDecodeError as error:
            raise api.BadRequest(f"the body is not JSON: {error}") from None
        name = body.get("model") if isinstance(body, dict) else None
        if name not in (None, self.options.name):
            return _error(
                404, f"no model {name!r}; this server has {self.options.name!r}", "not_found_error"
            )
        order = api.read(body)
        prompt = await self._loop.run_in_executor(self.readers, self._prompt, order)
        limit = self._limit(order, prompt)
        identity = f"chatcmpl-{uuid.uuid4().hex}"
        if order.stream:
            return await self._stream(request, order, prompt, limit, identity)
        rows = [self._row(order, prompt, limit, i, None) for i in range(order.choices)]
        await self.decode(rows)
        return _json(200, api.completion(self.checkpoint, self.options.name, order, rows, identity))

    def _prompt(self, order: api.Order) -> Prompt:
        """Runs in a reader's thread."""
        import jinja2

        try:
            if order.form is not None:
                self.grammars.check(order.form)
            return self.checkpoint.prompt(order.messages, order.tools, self.image, self.video)
        except UserError as error:
            raise api.BadRequest(str(error)) from None
        except (jinja2.TemplateError, TypeError, KeyError) as error:
            raise api.BadRequest(
                f"the chat template does not take these messages: {error}"
            ) from None

    def image(self, reference: str) -> Any:
        root = self.options.media_root
        if root is None and not reference.startswith("data:"):
            raise UserError(
                f"image {images.brief(reference)}: only data: URIs; see qvl serve --media-root"
            )
        return images.load(reference, root or Path())

    def video(self, reference: str | list[str]) -> video.Clip:
        root = self.options.media_root
        references = [reference] if isinstance(reference, str) else reference
        for each in references:
            if root is None and not each.startswith("data:"):
                raise UserError(
                    f"video {images.brief(each)}: only data: URIs; see qvl serve --media-root"
                )
        return video.read(reference, root or Path())

    def _limit(self, order: api.Order, prompt: Prompt) -> int:
        """The tokens that the answer may have."""
        room = self.max_model_len - len(prompt.ids)
        wanted = order.max_tokens
        if room < 1 or (wanted or 0) > room:
            asked = f" and max_tokens is {wanted}" if wanted else ""
            raise api.BadRequest(
                f"the context length is {self.max_model_len} tokens; "
                f"the prompt has {len(prompt.ids)}{asked}"
            )
        return wanted or room

    def _row(
        self,
        order: api.Order,
        prompt: Prompt,
        limit: int,
        index: int,
        progress: Callable[[Row], None] | None,
    ) -> Row:
        seed = derive(order.sampling.seed, index)
        text = Text(self.checkpoint.decode, order.stops) if order.stops or progress else None
        return Row(
            prompt,
            replace(order.sampling, seed=seed),
            limit,
            text,
            order.top_logprobs,
            progress,
            self.row_finished,
            self.grammars.follow(order.form) if order.form is not None else None,
        )

    async def decode(self, rows: list[Row]) -> None:
        """Wait until all rows are over; where the client goes away first, stop them."""
        futures = []
        for row in rows:
            self._pending[row] = self._loop.create_future()
            futures.append(self._pending[row])
            self.engine.submit(row)
        try:
            await asyncio.gather(*futures)
        finally:
            for row in rows:
                row.cancelled = row.finish_reason is None
                self._pending.pop(row, None)

    async def _stream(
        self, request: web.Request, order: api.Order, prompt: Prompt, limit: int, identity: str
    ) -> web.StreamResponse:
        events: asyncio.Queue[bytes | None] = asyncio.Queue()
        name = self.options.name

        def send(event: dict) -> None:
            events.put_nowait(b"data: " + orjson.dumps(event) + b"\n\n")

        def progress(row: Row) -> None:  # in the engine's thread
            piece, index = row.text.piece() if row.text else "", rows.index(row)
            if piece or row.finish_reason:
                delta = {"content": piece} if piece else {}
                event = api.chunk(name, identity, index, delta, row.finish_reason)
                self._loop.call_soon_threadsafe(send, event)

        rows = [self._row(order, prompt, limit, i, progress) for i in range(order.choices)]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for index in range(order.choices):
            send(api.chunk(name, identity, index, {"role": "assistant", "content": ""}, None))
        decoding = asyncio.ensure_future(self.decode(rows))
        decoding.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                await response.write(event)
            await decoding
        except EngineFailed as error:
            failure = orjson.dumps(server.error_body(str(error), "server_error"))
            await response.write(b"data: " + failure + b"\n\n")
            return response
        finally:
            decoding.cancel()
        last = {"id": identity, "object": "chat.completion.chunk", "model": name, "choices": []}
        await response.write(
            b"data: " + orjson.dumps({**last, "usage": api.usage(rows)}) + b"\n\ndata: [DONE]\n\n"
        )
        return response

    def row_finished(self, row: Row) -> None:
        """In the engine's thread."""
        self._loop.call_soon_threadsafe(self._settle, row, None)

    def _row_failed(self, row: Row, error: EngineFailed) -> None:
        """In the engine's thread."""
        self._loop.call_soon_threadsafe(self._settle, row, error)

    def _settle(self, row: Row, error: EngineFailed | None) -> None:
        future = self._pending.pop(row, None)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(row)
        else:
            future.set_exception(error)


def _json(status: int, body: dict) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _error(status: int, message: str, kind: str) -> web.Response:
    return _json(status, server.error_body(message, kind))
