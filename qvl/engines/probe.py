"""What a running server is and can do, as it says itself: no table of versions."""

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import orjson

from qvl.errors import EndpointError, UserError

ROUTES = {  # what a client may want -> any of these routes gives it
    "chat": ("/v1/chat/completions",),
    "token_ids": ("/inference/v1/generate", "/generate"),
    "weights": ("/collective_rpc", "/update_weights_from_disk"),
    "pause": ("/pause", "/pause_generation"),
    "sleep": ("/sleep", "/release_memory_occupation"),
    "tokenize": ("/tokenize", "/v1/tokenize"),
    "replicas": ("/replicas",),
    "classify": ("/classify", "/v1/classify"),
    # SGLang's own frames are not those of others: it takes videos where qvl serve started it.
    "videos": ("/inference/v1/generate", "/video_frames"),
}
MARKS = {"vllm": "/inference/v1/generate", "sglang": "/update_weights_from_disk"}
TIMEOUT_SECONDS = 10.0


def probe(
    endpoint: str, timeout: float = TIMEOUT_SECONDS, key: str | None = None
) -> dict[str, Any]:
    """backend, version, models, max_model_len, capabilities and weight_version of a server.

    A field is None where the server does not say. EndpointError where nobody answers. Without a
    `key`, QVL_API_KEY of the environment is sent, else OPENAI_API_KEY.
    """
    key = key or os.environ.get("QVL_API_KEY") or os.environ.get("OPENAI_API_KEY")
    ask = partial(_get, timeout=timeout, key=key)
    base = endpoint.rstrip("/").removesuffix("/v1")
    listed = ask(base + "/v1/models")
    if not isinstance(listed, dict) or not isinstance(listed.get("data"), list):
        raise EndpointError(f"{base}: its /v1/models is not OpenAI's")
    models = [model for model in listed["data"] if isinstance(model, dict)]
    described = ask(base + "/openapi.json", needed=False)
    paths = described.get("paths", {}) if isinstance(described, dict) else {}
    return {
        "endpoint": base,
        "backend": _backend(paths, models),
        "version": _version(base, paths, ask),
        "models": [model.get("id") for model in models],
        "max_model_len": models[0].get("max_model_len") if models else None,
        "weight_version": _weight_version(base, paths, ask),
        "capabilities": capabilities(paths) or ["chat"],
    }


def capabilities(paths: Collection[str]) -> list[str]:
    """What a server with these routes can do, by the names of ROUTES."""
    return [name for name, routes in ROUTES.items() if any(each in paths for each in routes)]


def check_parameter(
    endpoint: str, flag: str, names: Sequence[str], timeout: float = TIMEOUT_SECONDS
) -> None:
    """UserError where a server says what its chats take, and none of `names` is in it.

    One that says nothing, or does not answer, is left to be asked.
    """
    key = os.environ.get("QVL_API_KEY") or os.environ.get("OPENAI_API_KEY")
    base = endpoint.rstrip("/").removesuffix("/v1")
    said = _get(base + "/openapi.json", timeout=timeout, key=key, needed=False)
    for word in ("components", "schemas", "ChatCompletionRequest", "properties"):
        said = said.get(word) if isinstance(said, dict) else None
    if isinstance(said, dict) and not any(name in said for name in names):
        raise UserError(f"{flag}: {base} takes no {' or '.join(names)}")


def _backend(paths: dict, models: list[dict]) -> str | None:
    owners = {model.get("owned_by") for model in models}
    if "qvl" in owners:
        return "local"
    for name, mark in MARKS.items():
        if name in owners or mark in paths:
            return name
    return None


def _version(base: str, paths: dict, ask: Callable[..., Any]) -> str | None:
    for path in ("/version", "/server_info"):
        if path in paths:
            said = ask(base + path, needed=False)
            if isinstance(said, dict) and said.get("version"):
                return str(said["version"])
    return None


def _weight_version(base: str, paths: dict, ask: Callable[..., Any]) -> str | None:
    for path in ("/weight_info", "/weight_version", "/model_info"):
        if path in paths:
            said = ask(base + path, needed=False)
            if isinstance(said, dict) and said.get("weight_version") is not None:
                return str(said["weight_version"])
    return None


def _get(url: str, *, timeout: float, key: str | None, needed: bool = True) -> Any:
    """The JSON at a route; None where it may be absent and is."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return orjson.loads(answer.read())
    except urllib.error.HTTPError as error:
        if not needed:
            return None
        hint = "; is QVL_API_KEY right?" if error.code in (401, 403) else ""
        raise EndpointError(f"{url}: answered {error.code}{hint}") from None
    except (OSError, ValueError, orjson.JSONDecodeError) as error:
        if not needed:
            return None
        reason = getattr(error, "reason", None) or error
        raise EndpointError(f"{url}: {reason}") from None
