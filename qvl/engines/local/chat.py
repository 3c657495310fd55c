"""The chat routes of the local engine: /v1/chat/completions, whole and streamed."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from qvl.engines import tool_calls
from qvl.engines.local import api
from qvl.engines.local.batch import Row
from qvl.engines.local.detokenizer import Detokenizer
from qvl.engines.local.engine import EngineFailed
from qvl.engines.local.passes.prompts import PreparedPrompt
from qvl.engines.local.sampling import derive_seed
from qvl.engines.local.service import Service
from qvl.engines.serving import http
from qvl.engines.serving.http import BadRequest
from qvl.errors import UserError

# What templates raise for messages of another shape than they expect.
REJECTED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class ChatRoutes:
    """The chat routes of one service."""

    def __init__(self, service: Service) -> None:
        self.service, self.checkpoint = service, service.checkpoint
        self.name = service.options.name

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/v1/chat/completions", self.complete)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await http.read_json(request)
        name = body.get("model") if isinstance(body, dict) else None
        if name not in (None, self.name):
            message = f"model {str(name)[:80]!r} not found; this server has {self.name!r}"
            return http.error_response(404, message, "not_found_error")
        chat, prompt = await self.service.read(self._prepare, body)
        del body  # its media, which may be large
        limit = self._limit(chat, prompt)
        identity = f"chatcmpl-{uuid.uuid4().hex}"
        if chat.stream:
            return await self._stream(request, chat, prompt, limit, identity)
        rows = [self._row(chat, prompt, limit, i, None) for i in range(chat.choices)]
        await self.service.decode(rows)
        return await self.service.write(self._completion, chat, rows, identity)

    def _prepare(self, body: Any) -> tuple[api.ChatRequest, PreparedPrompt]:
        """Called in a reader's thread."""
        import jinja2

        chat, service = api.parse(body), self.service
        try:
            service.check_text(api.text_length(chat))
            if chat.grammar is not None:
                service.grammars.compile(chat.grammar)
            return chat, self.checkpoint.prepare_chat(chat.messages, chat.tools, service.media())
        except UserError as error:
            raise BadRequest(str(error)) from None
        except (jinja2.TemplateError, *REJECTED) as error:
            reason = str(error)[:300] or type(error).__name__
            raise BadRequest(f"the chat template rejects these messages: {reason}") from None

    def _completion(self, chat: api.ChatRequest, rows: list[Row], identity: str) -> web.Response:
        """Called in the writer's thread."""
        return http.json_response(api.completion(self.checkpoint, self.name, chat, rows, identity))

    def _limit(self, chat: api.ChatRequest, prompt: PreparedPrompt) -> int:
        """The maximum number of tokens of a completion."""
        max_model_len = self.service.max_model_len
        room = max_model_len - len(prompt.ids)
        wanted = chat.max_tokens
        if room < 1 or (wanted or 0) > room:
            requested = f" and max_tokens is {wanted}" if wanted else ""
            raise BadRequest(
                f"the context length is {max_model_len} tokens; "
                f"the prompt has {len(prompt.ids)}{requested}"
            )
        return wanted or room

    def _row(
        self,
        chat: api.ChatRequest,
        prompt: PreparedPrompt,
        limit: int,
        index: int,
        on_progress: Callable[[Row], None] | None,
    ) -> Row:
        seed = derive_seed(chat.sampling.seed, index)
        needs_text = chat.stops or on_progress
        return Row(
            prompt,
            replace(chat.sampling, seed=seed),
            limit,
            Detokenizer(self.checkpoint.decode, chat.stops) if needs_text else None,
            chat.top_logprobs,
            on_progress,
            self.service.row_finished,
            self.service.grammars.start(chat.grammar) if chat.grammar is not None else None,
        )

    async def _stream(
        self,
        request: web.Request,
        chat: api.ChatRequest,
        prompt: PreparedPrompt,
        limit: int,
        identity: str,
    ) -> web.StreamResponse:
        events: asyncio.Queue[bytes | None] = asyncio.Queue()
        head, loop = api.chunk_head(self.name, identity), self.service.loop
        if chat.stream_usage:  # OpenAI has it in every event
            head["usage"] = None
        sent = [0] * chat.choices  # characters of each text

        def send(event: dict) -> None:
            events.put_nowait(b"data: " + orjson.dumps(event) + b"\n\n")

        def on_progress(row: Row) -> None:  # called in the engine's thread
            assert row.text is not None
            index, new = rows.index(row), row.text.new_text()
            if chat.calls_tools:  # what may be a call is sent when it is known, at the end
                new = tool_calls.settled(row.text.text)[sent[index] :]
            deltas: list[tuple[dict, str | None]]
            if row.finish_reason:
                deltas = api.last_deltas(chat, row, sent[index])
            else:
                deltas = [({"content": new}, None)] if new else []
                sent[index] += len(new)
            for delta, reason in deltas:
                loop.call_soon_threadsafe(send, api.chunk(head, index, delta, reason))

        rows = [self._row(chat, prompt, limit, i, on_progress) for i in range(chat.choices)]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for index in range(chat.choices):
            send(api.chunk(head, index, {"role": "assistant", "content": ""}))
        decoding = asyncio.ensure_future(self.service.decode(rows))
        decoding.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                await response.write(event)
            await decoding
        except EngineFailed as error:
            failure = orjson.dumps(http.error_body(str(error), "server_error"))
            await response.write(b"data: " + failure + b"\n\n")
            return response
        finally:
            decoding.cancel()
        if chat.stream_usage:
            last = {**head, "choices": [], "usage": api.usage(rows)}
            await response.write(b"data: " + orjson.dumps(last) + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response
