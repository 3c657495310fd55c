"""The routes behind qvl.engines.protocol: token ids in and out, log-probs, new weights, pauses.

They bear the names and the shapes that vLLM and SGLang gave them, as far as there are any. Those that
change the engine answer this machine alone.
"""

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

import qvl
from qvl.engines.inject.qvl_engine_guard import is_near
from qvl.engines.local import api
from qvl.engines.local.batch import Row
from qvl.engines.local.checkpoint import Prompt
from qvl.engines.local.sampling import Sampling
from qvl.engines.weights import UPDATE
from qvl.errors import UserError

if TYPE_CHECKING:
    from qvl.engines.local.http import Server

GENERATE = "/inference/v1/generate"
NEAR = (UPDATE, "/pause", "/resume", "/sleep", "/wake_up", "/weight_info")
MAX_LOGPROBS = 128  # of a position; as vLLM is started
PARAMETERS = {"max_tokens", "temperature", "top_p", "top_k", "seed", "logprobs"}
PARAMETERS |= {"prompt_logprobs", "detokenize"}


def check_near(request: web.Request) -> None:
    """403 where another machine asks to change the engine."""
    if request.path in NEAR and not is_near((request.remote,)):
        raise web.HTTPForbidden(text=f"{request.path} answers this machine alone")


def routes(app: web.Application) -> set[str]:
    return {str(each.resource.canonical) for each in app.router.routes() if each.resource}


class Control:
    """The routes of one server."""

    def __init__(self, server: "Server") -> None:
        self.server, self.engine, self.checkpoint = server, server.engine, server.checkpoint
        self._updating = asyncio.Lock()

    def add_to(self, app: web.Application) -> None:
        posts = {
            GENERATE: self.generate,
            UPDATE: self.update,
            "/pause": self.pause,
            "/resume": self.resume,
            "/sleep": self.sleep,
            "/wake_up": self.wake,
        }
        for path, handler in posts.items():
            app.router.add_post(path, handler)
        app.router.add_get("/weight_info", self.weights)
        app.router.add_get("/version", self.version)
        app.router.add_get("/openapi.json", self.described)

    async def described(self, request: web.Request) -> web.Response:
        """What there is, for qvl.engines.probe."""
        paths = sorted(routes(request.app))
        return _json({"openapi": "3.1.0", "paths": {path: {} for path in paths}})

    async def version(self, request: web.Request) -> web.Response:
        return _json({"version": qvl.__version__})

    async def weights(self, request: web.Request) -> web.Response:
        checkpoint = self.checkpoint
        folder = str(checkpoint.folder.resolve())
        return _json({"weight_version": checkpoint.version, "model_path": folder})

    async def pause(self, request: web.Request) -> web.Response:
        """Return once no answer is in the making; what is asked from now on waits."""
        mode = request.query.get("mode", "wait")
        if mode not in ("wait", "abort"):
            raise api.BadRequest(f"mode {mode!r}: the local engine has wait and abort")
        if mode == "abort":
            await asyncio.wrap_future(self.engine.call(self.engine.abort))
        await self._set_paused(True)
        return _json({"status": "paused"})

    async def resume(self, request: web.Request) -> web.Response:
        await self._set_paused(False)
        return _json({"status": "resumed"})

    async def sleep(self, request: web.Request) -> web.Response:
        """Pause, and free the accelerator; on a CPU there is nothing to free."""
        await self._set_paused(True)
        await self._move("cpu")
        return _json({"status": "asleep"})

    async def wake(self, request: web.Request) -> web.Response:
        await self._move(self.checkpoint.device)
        await self._set_paused(False)
        return _json({"status": "awake"})

    async def update(self, request: web.Request) -> web.Response:
        """The weights of another folder. They are read beside the present ones, which answer
        meanwhile and stay where the reading fails; rows under way end with those they began with."""
        body = await _body(request)
        folder, version = body.get("model_path"), body.get("weight_version")
        if not isinstance(folder, str) or not isinstance(version, str):
            raise api.BadRequest("expected model_path and weight_version, both strings")
        checkpoint, path = self.checkpoint, Path(folder)
        async with self._updating:
            try:
                model = await asyncio.to_thread(checkpoint.read_weights, path)
            except UserError as error:
                raise api.BadRequest(str(error)) from None
            ours, theirs = _shapes(checkpoint.model), _shapes(model)
            if ours != theirs:
                name = next(iter(dict(ours.items() ^ theirs.items())))
                raise api.BadRequest(f"{folder}: not the shapes that are served, such as {name}")
            swap = self.engine.call(lambda: checkpoint.use(model, path, version), drained=True)
            await asyncio.wrap_future(swap)
        return _json({"success": True, "weight_version": version})

    async def generate(self, request: web.Request) -> web.Response:
        """vLLM's route: token ids with one pad an image and a video, and these."""
        body = await _body(request)
        parameters = body.get("sampling_params") or {}
        if not isinstance(parameters, dict) or not parameters.keys() <= PARAMETERS:
            raise api.BadRequest(
                f"sampling_params: expected some of {', '.join(sorted(PARAMETERS))}"
            )
        loop = asyncio.get_running_loop()
        prompt = await loop.run_in_executor(self.server.readers, self._prompt, body)
        top = api.integer(parameters, "prompt_logprobs", 0, MAX_LOGPROBS, None)
        limit = api.integer(parameters, "max_tokens", 0, None, 16) or 0
        if len(prompt.ids) + limit > self.server.max_model_len:
            raise api.BadRequest(
                f"the context length is {self.server.max_model_len} tokens; the prompt has "
                f"{len(prompt.ids)} and max_tokens is {limit}"
            )
        answer: dict[str, Any] = {"prompt_token_ids": prompt.ids, "choices": []}
        if top is not None:
            scored = self.engine.call(
                lambda: (self.checkpoint.score(prompt, top), self.checkpoint.version)
            )
            rows, answer["weight_version"] = await asyncio.wrap_future(scored)
            answer["prompt_logprobs"] = [None, *map(_position, prompt.ids[1:], rows)]
        if limit:
            row = self._row(prompt, parameters, limit)
            await self.server.decode([row])
            answer["weight_version"] = row.version
            answer["choices"] = [_choice(row)]
        return _json(answer)

    def _prompt(self, body: dict) -> Prompt:
        """Runs in a reader's thread."""
        ids, parts = body.get("token_ids"), body.get("content_parts") or []
        size = self.checkpoint.model.config.text_config.vocab_size
        sound = isinstance(ids, list) and all(type(i) is int and 0 <= i < size for i in ids)
        if not isinstance(ids, list) or not ids or not sound:
            raise api.BadRequest(f"token_ids: expected whole numbers below {size}, at least one")
        if not isinstance(parts, list):
            raise api.BadRequest("content_parts: expected a list")
        seen: dict[str, list[str]] = {"image_url": [], "video_url": []}
        for part in parts:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in seen or not isinstance(part.get("url"), str):
                raise api.BadRequest("content_parts: expected image_url and video_url, with a url")
            seen[kind].append(part["url"])
        try:
            return self.checkpoint.placed(
                ids,
                [self.server.image(each) for each in seen["image_url"]],
                [self.server.video(each) for each in seen["video_url"]],
            )
        except UserError as error:
            raise api.BadRequest(str(error)) from None

    def _row(self, prompt: Prompt, parameters: dict, limit: int) -> Row:
        fields = {name: value for name, value in parameters.items() if value is not None}
        seed = fields.pop("seed", None)
        sampling = Sampling(
            temperature=api.number(fields, "temperature", 0, None, 1.0),
            top_p=api.number(fields, "top_p", 0, 1, 1.0),
            top_k=max(api.integer(fields, "top_k", -1, None, 0) or 0, 0),
            seed=seed if isinstance(seed, int) else secrets.randbits(64),
        )
        top = api.integer(fields, "logprobs", 0, MAX_LOGPROBS, None)
        return Row(prompt, sampling, limit, None, top, None, self.server.row_finished)

    async def _set_paused(self, paused: bool) -> None:
        def work() -> None:
            self.engine.paused = paused

        await asyncio.wrap_future(self.engine.call(work, drained=paused))

    async def _move(self, device: Any) -> None:
        model = self.checkpoint.model
        await asyncio.wrap_future(self.engine.call(lambda: model.to(device), drained=True))


def _position(token: int, row: tuple[float, list[tuple[int, float]]]) -> dict:
    """vLLM's shape: the likeliest by their ids, and the prompt's own token."""
    said, top = row
    return {str(each): {"logprob": value} for each, value in [*top, (token, said)]}


def _choice(row: Row) -> dict:
    content = [
        {
            "token_id": token,
            "logprob": said,
            "top_logprobs": [{"token_id": each, "logprob": value} for each, value in top],
        }
        for token, (said, top) in zip(row.tokens, row.logprobs, strict=bool(row.logprobs))
    ]
    return {
        "index": 0,
        "token_ids": row.tokens,
        "finish_reason": row.finish_reason,
        "logprobs": {"content": content} if content else None,
        "weight_versions": [{"version": row.version, "start": 0, "end": len(row.tokens)}],
    }


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(each.shape) for name, each in model.named_parameters()}


async def _body(request: web.Request) -> dict:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise api.BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise api.BadRequest("the body must be a JSON object")
    return body


def _json(body: dict) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json")
