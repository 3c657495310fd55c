"""The routes of qvl.engines.client: token ids in and out, log-probs, new weights, pauses.

Their names and shapes are those of vLLM and SGLang where they have such a route. Routes that change the
engine answer this machine alone.
"""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

import qvl
from qvl.engines.inject.qvl_engine_guard import is_local
from qvl.engines.local import api
from qvl.engines.local.batch import Row
from qvl.engines.local.passes.prompts import PreparedPrompt
from qvl.engines.local.sampling import RowSampling
from qvl.engines.local.scoring import Scorer, Scores
from qvl.engines.local.service import Service
from qvl.engines.serving import http
from qvl.engines.serving.http import BadRequest
from qvl.engines.weights import UPDATE_ROUTE
from qvl.errors import UserError

GENERATE_ROUTE = "/inference/v1/generate"
LOCAL_ROUTES = (UPDATE_ROUTE, "/pause", "/resume", "/sleep", "/wake_up", "/weight_info")
MAX_LOGPROBS = 128  # per position, as qvl serve starts vLLM
PARAMETERS = {"max_tokens", "temperature", "top_p", "top_k", "seed", "logprobs"}
PARAMETERS |= {"prompt_logprobs", "prompt_logprobs_last", "detokenize"}


def check_local(request: web.Request) -> None:
    """HTTP 403 if another machine tries to change the engine."""
    if request.path in LOCAL_ROUTES and not is_local((request.remote,)):
        raise web.HTTPForbidden(text=f"{request.path} answers this machine alone")


def routes(app: web.Application) -> set[str]:
    """The paths of an application."""
    return {str(each.resource.canonical) for each in app.router.routes() if each.resource}


class ControlRoutes:
    """The token and control routes of one service."""

    def __init__(self, service: Service) -> None:
        self.service, self.engine, self.checkpoint = service, service.engine, service.checkpoint
        self.scorer = Scorer(service.engine, service.checkpoint, service.options.max_batch)
        self._update_lock = asyncio.Lock()
        self._running = asyncio.Event()  # cleared by a pause, which holds prompts to be scored back
        self._running.set()

    def add_to(self, app: web.Application) -> None:
        posts = {
            GENERATE_ROUTE: self.generate,
            UPDATE_ROUTE: self.load_weights,
            "/pause": self.pause,
            "/resume": self.resume,
            "/sleep": self.sleep,
            "/wake_up": self.wake,
        }
        for path, handler in posts.items():
            app.router.add_post(path, handler)
        app.router.add_get("/weight_info", self.weight_info)
        app.router.add_get("/version", self.version)
        app.router.add_get("/openapi.json", self.openapi)

    async def openapi(self, request: web.Request) -> web.Response:
        """The routes, for qvl.engines.probe."""
        paths = sorted(routes(request.app))
        return http.json_response({"openapi": "3.1.0", "paths": {path: {} for path in paths}})

    async def version(self, request: web.Request) -> web.Response:
        """For qvl.engines.probe: the version, and what no other engine says, how media are resized."""
        processors = self.checkpoint.processors
        return http.json_response({"version": qvl.__version__, "processors": processors})

    async def weight_info(self, request: web.Request) -> web.Response:
        checkpoint = self.checkpoint
        folder = str(checkpoint.folder.resolve())
        return http.json_response({"weight_version": checkpoint.version, "model_path": folder})

    async def pause(self, request: web.Request) -> web.Response:
        """Hold new requests back; return once none is in progress."""
        mode = request.query.get("mode", "wait")
        if mode not in ("wait", "abort"):
            raise BadRequest(f"mode {mode!r}: expected wait or abort")
        if mode == "abort":
            await self._call(self.engine.abort)
        await self._set_paused(True)
        return http.json_response({"status": "paused"})

    async def resume(self, request: web.Request) -> web.Response:
        await self._set_paused(False)
        return http.json_response({"status": "resumed"})

    async def sleep(self, request: web.Request) -> web.Response:
        """Pause, and free the accelerator's memory; on a CPU there is none."""
        await self._set_paused(True)
        await self._call(self.engine.forget)
        await self._move("cpu")
        return http.json_response({"status": "asleep"})

    async def wake(self, request: web.Request) -> web.Response:
        await self._move(self.checkpoint.device)
        await self._set_paused(False)
        return http.json_response({"status": "awake"})

    async def load_weights(self, request: web.Request) -> web.Response:
        """Load the weights of another folder beside the present ones, which serve requests meanwhile
        and stay if the loading fails. Rows in progress finish on the weights that they began with."""
        body = await _body(request)
        folder, version = body.get("model_path"), body.get("weight_version")
        if not isinstance(folder, str) or not isinstance(version, str):
            raise BadRequest("expected model_path and weight_version, both strings")
        checkpoint, path = self.checkpoint, Path(folder)

        def serve(model: Any) -> None:
            checkpoint.set_weights(model, path, version)
            self.engine.forget()

        async with self._update_lock:
            try:
                model = await asyncio.to_thread(checkpoint.read_weights, path)
            except UserError as error:
                raise BadRequest(str(error)) from None
            ours, theirs = _shapes(checkpoint.model), _shapes(model)
            if ours != theirs:
                name = next(iter(dict(ours.items() ^ theirs.items())))
                raise BadRequest(f"{folder}: other shapes than those served, such as {name}")
            await self._call(lambda: serve(model), drained=True)
        return http.json_response({"success": True, "weight_version": version})

    async def generate(self, request: web.Request) -> web.Response:
        """vLLM's route: token ids with one pad per image and video, and the images and videos.

        prompt_logprobs_last is ours: only so many of the prompt's last tokens are scored, and the answer
        has a list per field instead of an object per log-prob.
        """
        body = await _body(request)
        parameters = body.get("sampling_params") or {}
        if not isinstance(parameters, dict) or not parameters.keys() <= PARAMETERS:
            raise BadRequest(
                f"sampling_params: expected an object with some of {', '.join(sorted(PARAMETERS))}"
            )
        prompt = await self.service.read(self._prepare, body)
        top = api.integer(parameters, "prompt_logprobs", 0, MAX_LOGPROBS, None)
        last = api.integer(parameters, "prompt_logprobs_last", 1, None, None)
        limit = api.integer(parameters, "max_tokens", 0, None, 16) or 0
        if len(prompt.ids) + limit > self.service.max_model_len:
            raise BadRequest(
                f"the context length is {self.service.max_model_len} tokens; the prompt has "
                f"{len(prompt.ids)} and max_tokens is {limit}"
            )
        answer: dict[str, Any] = {"prompt_token_ids": prompt.ids, "choices": []}
        if top is not None:
            await self._running.wait()
            scores = await asyncio.wrap_future(
                self.scorer.submit(prompt, top, last or len(prompt.ids))
            )
            answer["weight_version"] = scores.version
            if last:
                answer["prompt_logprobs"] = scores._asdict()
            else:
                answer["prompt_logprobs"] = await self.service.write(_positions, prompt.ids, scores)
        if limit:
            row = self._row(prompt, parameters, limit)
            await self.service.decode([row])
            answer["weight_version"] = row.version
            answer["choices"] = [_choice(row)]
        return await self.service.write(http.json_response, answer)

    def _prepare(self, body: dict) -> PreparedPrompt:
        """Called in a reader's thread."""
        ids, parts = body.get("token_ids"), body.get("content_parts") or []
        size = self.checkpoint.model.config.text_config.vocab_size
        are_ids = isinstance(ids, list) and all(type(i) is int and 0 <= i < size for i in ids)
        if not isinstance(ids, list) or not ids or not are_ids:
            raise BadRequest(f"token_ids: expected a non-empty list of whole numbers below {size}")
        if len(ids) > self.service.max_model_len:
            raise BadRequest(
                f"the context length is {self.service.max_model_len} tokens; the prompt has {len(ids)}"
            )
        if not isinstance(parts, list):
            raise BadRequest("content_parts: expected a list")
        urls: dict[str, list[str]] = {"image_url": [], "video_url": []}
        for part in parts:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in urls or not isinstance(part.get("url"), str):
                raise BadRequest("content_parts: expected type image_url or video_url, and a url")
            urls[kind].append(part["url"])
        media = self.service.media()
        try:
            return self.checkpoint.prepare(ids, urls["image_url"], urls["video_url"], media)
        except UserError as error:
            raise BadRequest(str(error)) from None

    def _row(self, prompt: PreparedPrompt, parameters: dict, limit: int) -> Row:
        fields = {name: value for name, value in parameters.items() if value is not None}
        seed = fields.pop("seed", None)
        sampling = RowSampling(
            temperature=api.number(fields, "temperature", 0, None, 1.0),
            top_p=api.number(fields, "top_p", 0, 1, 1.0),
            top_k=max(api.integer(fields, "top_k", -1, None, 0) or 0, 0),
            seed=seed if isinstance(seed, int) else secrets.randbits(64),
        )
        top = api.integer(fields, "logprobs", 0, MAX_LOGPROBS, None)
        return Row(prompt, sampling, limit, None, top, None, self.service.row_finished)

    async def _set_paused(self, paused: bool) -> None:
        def change() -> None:
            self.engine.is_paused = paused

        if paused:
            self._running.clear()
        await self._call(change, drained=paused)
        if not paused:
            self._running.set()

    async def _move(self, device: Any) -> None:
        model = self.checkpoint.model
        await self._call(lambda: model.to(device), drained=True)

    async def _call(self, function: Callable[[], Any], *, drained: bool = False) -> Any:
        """function() in the engine's thread."""
        return await asyncio.wrap_future(self.engine.call(function, drained=drained))


def _positions(ids: list[int], scores: Scores) -> list:
    """vLLM's shape: per position log-probs by token id, of the most likely tokens and the prompt's own."""
    found: list[dict | None] = [None]
    rows = zip(ids[1:], *(each.tolist() for each in scores[:3]), strict=True)
    for token, logprob, top_ids, top_logprobs in rows:
        pairs = [*zip(top_ids, top_logprobs, strict=True), (token, logprob)]
        found.append({str(each): {"logprob": value} for each, value in pairs})
    return found


def _choice(row: Row) -> dict:
    content = [
        {
            "token_id": token,
            "logprob": logprob,
            "top_logprobs": [{"token_id": each, "logprob": value} for each, value in top],
        }
        for token, (logprob, top) in zip(row.tokens, row.logprobs, strict=bool(row.logprobs))
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
    body = await http.read_json(request)
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body
