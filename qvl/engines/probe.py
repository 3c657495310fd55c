"""What a running server is and can do, from its own routes: there is no table of versions."""

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import orjson

from qvl.errors import EndpointError, UserError

ROUTES = {  # capability -> it has any of these routes
    "chat": ("/v1/chat/completions",),
    "token_ids": ("/inference/v1/generate", "/generate"),
    "weights": ("/collective_rpc", "/update_weights_from_disk"),
    "pause": ("/pause", "/pause_generation"),
    "sleep": ("/sleep", "/release_memory_occupation"),
    "tokenize": ("/tokenize", "/v1/tokenize"),
    "replicas": ("/replicas",),
    "classify": ("/classify", "/v1/classify"),
    # SGLang's own loader samples other frames than qvl: only one that qvl serve started takes videos.
    "videos": ("/inference/v1/generate", "/video_frames"),
}
SIGNATURES = {"vllm": "/inference/v1/generate", "sglang": "/update_weights_from_disk"}
TIMEOUT_SECONDS = 10.0


def probe(
    endpoint: str, timeout: float = TIMEOUT_SECONDS, key: str | None = None
) -> dict[str, Any]:
    """The backend, version, models, max_model_len, capabilities, weight_version, weights_folder and processors
    (by kind, as qvl.media.processor.known has them) of a server, and the model that it was started with.

    A field that the server does not report is None. EndpointError if it does not answer. key: default is
    QVL_API_KEY of the environment, else OPENAI_API_KEY.
    """
    key = key or os.environ.get("QVL_API_KEY") or os.environ.get("OPENAI_API_KEY")
    get = partial(_get, timeout=timeout, key=key)
    base = endpoint.rstrip("/").removesuffix("/v1")
    listed = get(base + "/v1/models")
    if not isinstance(listed, dict) or not isinstance(listed.get("data"), list):
        raise EndpointError(f"{base}: its /v1/models has not OpenAI's shape")
    models = [model for model in listed["data"] if isinstance(model, dict)]
    openapi = get(base + "/openapi.json", needed=False)
    paths = openapi.get("paths") if isinstance(openapi, dict) else None
    paths = paths if isinstance(paths, dict) else {}
    limit = models[0].get("max_model_len") if models else None
    root = models[0].get("root") if models else None
    engine = _engine(base, paths, get)
    version, processors = engine.get("version"), engine.get("processors")
    return {
        "endpoint": base,
        "backend": _backend(paths, models),
        "version": str(version) if version else None,
        "models": [name for model in models if isinstance(name := model.get("id"), str)],
        "max_model_len": limit if type(limit) is int else None,
        "started_with": root if isinstance(root, str) else None,
        **_weights(base, paths, get),
        "processors": processors if isinstance(processors, dict) else None,
        "capabilities": capabilities(paths) or ["chat"],
    }


def capabilities(paths: Collection[str]) -> list[str]:
    """The capabilities of a server with these routes."""
    return [name for name, routes in ROUTES.items() if any(each in paths for each in routes)]


def check_parameter(
    endpoint: str, flag: str, names: Sequence[str], timeout: float = TIMEOUT_SECONDS
) -> None:
    """UserError if a server's OpenAPI schema of chats has none of the parameters `names`.

    A server without a schema, or one that does not answer, passes: its responses will tell.
    """
    key = os.environ.get("QVL_API_KEY") or os.environ.get("OPENAI_API_KEY")
    base = endpoint.rstrip("/").removesuffix("/v1")
    schema = _get(base + "/openapi.json", timeout=timeout, key=key, needed=False)
    for word in ("components", "schemas", "ChatCompletionRequest", "properties"):
        schema = schema.get(word) if isinstance(schema, dict) else None
    if isinstance(schema, dict) and not any(name in schema for name in names):
        raise UserError(f"{flag}: {base} has no parameter {' or '.join(names)}")


def _backend(paths: dict, models: list[dict]) -> str | None:
    owners = [model.get("owned_by") for model in models]
    if "qvl" in owners:
        return "local"
    for name, route in SIGNATURES.items():
        if name in owners or route in paths:
            return name
    return None


def _engine(base: str, paths: dict, get: Callable[..., Any]) -> dict:
    """What a server says of its engine; empty for nothing."""
    for path in ("/version", "/server_info"):
        if path in paths:
            info = get(base + path, needed=False)
            if isinstance(info, dict) and info.get("version"):
                return info
    return {}


def _weights(base: str, paths: dict, get: Callable[..., Any]) -> dict[str, str | None]:
    """What is served: its weight_version, and its folder, which vLLM does not report."""
    for path in ("/weight_info", "/weight_version", "/model_info"):
        if path in paths:
            info = get(base + path, needed=False)
            if isinstance(info, dict) and info.get("weight_version") is not None:
                folder = info.get("model_path")
                return {
                    "weight_version": str(info["weight_version"]),
                    "weights_folder": folder if isinstance(folder, str) else None,
                }
    return {"weight_version": None, "weights_folder": None}


def _get(url: str, *, timeout: float, key: str | None, needed: bool = True) -> Any:
    """The JSON at a route. EndpointError if there is none; None instead unless it is `needed`."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return orjson.loads(answer.read())
    except urllib.error.HTTPError as error:
        if not needed:
            return None
        hint = "; is QVL_API_KEY right?" if error.code in (401, 403) else ""
        raise EndpointError(f"{url}: HTTP {error.code}{hint}") from None
    except (OSError, ValueError, orjson.JSONDecodeError) as error:
        if not needed:
            return None
        reason = getattr(error, "reason", None) or error
        raise EndpointError(f"{url}: {reason}") from None
