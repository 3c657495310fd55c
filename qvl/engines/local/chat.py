"""The chat routes of the local engine: /v1/chat/completions, whole and streamed."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace

import orjson
from aiohttp import web

from qvl.engines.local import api
from qvl.engines.local.batch import Row
from qvl.engines.local.checkpoint import PreparedPrompt
from qvl.engines.local.detokenizer import Detokenizer
from qvl.engines.local.engine import EngineFailed
from qvl.engines.local.sampling import derive_seed
from qvl.engines.local.service import Service
from qvl.engines.serving import server
from qvl.errors import UserError


class ChatRoutes:
    """The chat routes of one service."""

    def __init__(self, service: Service) -> None:
        self.service, self.checkpoint = service, service.checkpoint
        self.name = service.options.name

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/v1/chat/completions", self.complete)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = api.decode_json(await request.read())
        name = body.get("model") if isinstance(body, dict) else None
        if name not in (None, self.name):
            message = f"model {name!r} not found; this server has {self.name!r}"
            return web.json_response(server.error_body(message, "not_found_error"), status=404)
        chat = api.parse(body)
        prompt = await self.service.read(self._prepare, chat)
        limit = self._limit(chat, prompt)
        identity = f"chatcmpl-{uuid.uuid4().hex}"
        if chat.stream:
            return await self._stream(request, chat, prompt, limit, identity)
        rows = [self._row(chat, prompt, limit, i, None) for i in range(chat.choices)]
        await self.service.decode(rows)
        answer = api.completion(self.checkpoint, self.name, chat, rows, identity)
        return web.Response(body=orjson.dumps(answer), content_type="application/json")

    def _prepare(self, chat: api.ChatRequest) -> PreparedPrompt:
        """Called in a reader's thread."""
        import jinja2

        service = self.service
        try:
            if chat.grammar is not None:
                service.grammars.compile(chat.grammar)
            return self.checkpoint.prepare_chat(
                chat.messages, chat.tools, service.image, service.video
            )
        except UserError as error:
            raise api.BadRequest(str(error)) from None
        except (jinja2.TemplateError, TypeError, KeyError) as error:
            raise api.BadRequest(f"the chat template rejects these messages: {error}") from None

    def _limit(self, chat: api.ChatRequest, prompt: PreparedPrompt) -> int:
        """The maximum number of tokens of a completion."""
        max_model_len = self.service.max_model_len
        room = max_model_len - len(prompt.ids)
        wanted = chat.max_tokens
        if room < 1 or (wanted or 0) > room:
            requested = f" and max_tokens is {wanted}" if wanted else ""
            raise api.BadRequest(
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
        name, loop = self.name, self.service.loop

        def send(event: dict) -> None:
            events.put_nowait(b"data: " + orjson.dumps(event) + b"\n\n")

        def on_progress(row: Row) -> None:  # called in the engine's thread
            text, index = row.text.new_text() if row.text else "", rows.index(row)
            if text or row.finish_reason:
                delta = {"content": text} if text else {}
                event = api.chunk(name, identity, index, delta, row.finish_reason)
                loop.call_soon_threadsafe(send, event)

        rows = [self._row(chat, prompt, limit, i, on_progress) for i in range(chat.choices)]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for index in range(chat.choices):
            send(api.chunk(name, identity, index, {"role": "assistant", "content": ""}, None))
        decoding = asyncio.ensure_future(self.service.decode(rows))
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
