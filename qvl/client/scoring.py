"""Scalar reward models: one number for a conversation, by the server's route for it.

The route follows from the request fields in the server's openapi.json, not from a version:

    /classify, /pooling with `messages` (vLLM)   the engine's own template, images as in a chat
    /classify with `text` (SGLang)               rendered here as ChatML, which Qwen's models read

The score is the raw logit of a model with one label, without a sigmoid, so that servers agree and callers
may scale it. A server that returns something else is an error, and so is a model with several labels.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from qvl.client.chat import has_media
from qvl.client.retries import Failure, Refused
from qvl.errors import UserError
from qvl.record import text

ACTIVATIONS = ("use_activation", "activation")  # names of the switch of vLLM's releases
NO_ROUTE = (
    "serves no reward model: its openapi.json has no /classify or /pooling that takes "
    "messages or text (vLLM: --runner pooling; SGLang: --is-embedding)"
)


class Score(NamedTuple):
    """The logit, and the number of prompt tokens."""

    value: float
    tokens: int


class Route(NamedTuple):
    """How to request a score of one server."""

    path: str
    body: Callable[[str, list[dict]], dict[str, Any]]
    """The body for a model's name and messages; Refused if the route cannot represent them."""
    read: Callable[[dict], tuple[Any, Any]]
    """The logits and the number of tokens of an answer."""


def find(described: dict, name: str) -> Route:
    """The route of the server `name` with this openapi.json; UserError if it has none."""
    for path in ("/classify", "/pooling"):
        fields = _fields(described, path)
        if "messages" in fields:
            switch = next((each for each in ACTIVATIONS if each in fields), None)
            if switch is None:
                raise UserError(
                    f"{name}: {path} returns no raw score: it has no field {ACTIVATIONS[0]}"
                )
            return _by_messages(path, switch)
    if "text" in _fields(described, "/classify"):
        return Route("/classify", _rendered, _read_embedding)
    raise UserError(f"{name}: {NO_ROUTE}")


def score(route: Route, answer: dict) -> Score:
    """The score of an answer. Failure if it has no number, UserError if it has several."""
    try:
        values, tokens = route.read(answer)
    except (AttributeError, KeyError, IndexError, TypeError):
        raise Failure("answered 200 without a score") from None
    values = values if isinstance(values, list) else [values]
    if len(values) > 1:
        raise UserError(
            f"the model returns {len(values)} numbers per conversation; a reward model has one label"
        )
    if not values or isinstance(values[0], bool) or not isinstance(values[0], int | float):
        raise Failure("answered 200 without a score")
    if not math.isfinite(values[0]):
        raise Failure(f"answered 200 with a score of {values[0]}")
    return Score(float(values[0]), tokens if isinstance(tokens, int) else 0)


def chatml(messages: list[dict]) -> str:
    """The messages in Qwen's ChatML, without additions of a model's template.

    Refused if a turn holds more than text: only the model's own template can render media and tool calls.
    """
    if has_media(messages) or any(message.get("tool_calls") for message in messages):
        raise Refused(
            "this server scores text alone; it cannot be sent images, videos or tool calls"
        )
    turns = (f"<|im_start|>{each['role']}\n{text(each)}<|im_end|>\n" for each in messages)
    return "".join(turns)


def _by_messages(path: str, switch: str) -> Route:
    def body(model: str, messages: list[dict]) -> dict[str, Any]:
        # The answer is complete: the template must not add a generation prompt.
        whole = {"messages": messages, "add_generation_prompt": False}
        task = {"task": "classify"} if path == "/pooling" else {}
        return {"model": model, **whole, switch: False, **task}

    held = "probs" if path == "/classify" else "data"

    def read(answer: dict) -> tuple[Any, Any]:
        return answer["data"][0][held], (answer.get("usage") or {}).get("prompt_tokens")

    return Route(path, body, read)


def _rendered(model: str, messages: list[dict]) -> dict[str, Any]:
    return {"text": chatml(messages)}


def _read_embedding(answer: dict) -> tuple[Any, Any]:
    return answer["embedding"], (answer.get("meta_info") or {}).get("prompt_tokens")


def _fields(described: dict, path: str) -> set[str]:
    """The field names of a POST to this path, over all schemas that it accepts."""
    content = _object(described, "paths", path, "post", "requestBody", "content")
    schemas = _object(described, "components", "schemas")
    waiting = [_object(content, kind, "schema") for kind in content]
    found: set[str] = set()
    seen: set[str] = set()  # a schema may refer to itself
    while waiting:
        schema = waiting.pop()
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            waiting.append(_object(schemas, name))
        for kind in ("anyOf", "oneOf", "allOf"):
            shapes = schema.get(kind)
            waiting += (
                [each for each in shapes or () if isinstance(each, dict)]
                if isinstance(shapes, list)
                else []
            )
        found |= set(_object(schema, "properties"))
    return found


def _object(value: Any, *names: str) -> dict:
    """The object at these names, one within the other; an empty one if there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def encoded(route: Route, model: str, messages: list[dict]) -> bytes:
    """The body of the request."""
    return orjson.dumps(route.body(model, messages))
