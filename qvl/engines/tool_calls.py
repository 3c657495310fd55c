"""Tool calls in the text of a completion, as vLLM and SGLang parse Hermes' format, which is Qwen's.

A call is JSON with a name and arguments between <tool_call> and </tool_call>; a completion that ends early
may lack the last tag. What stands before the first call is the content. A completion with a call that
cannot be parsed is text as a whole, so that nothing of it is lost.
"""

import re
import uuid
from typing import Any, NamedTuple

import orjson

BEGIN, END, THOUGHT_END = "<tool_call>", "</tool_call>", "</think>"
_CALL = re.compile(f"{BEGIN}(.*?)(?:{END}|$)", re.DOTALL)


class Parsed(NamedTuple):
    """The content of a completion, and its calls in OpenAI's shape."""

    content: str
    calls: list[dict[str, Any]]


def parse(text: str) -> Parsed:
    """A completion's text in its parts; no calls if there is none, or one is malformed."""
    begin = _begin(text)
    if begin is None:
        return Parsed(text, [])
    calls = [_call(match) for match in _CALL.findall(text, begin)]
    if None in calls:
        return Parsed(text, [])
    return Parsed(text[:begin].rstrip("\n"), [call for call in calls if call])


def settled(text: str) -> str:
    """The beginning of a growing text that is content, whatever follows."""
    begin = _begin(text)
    if begin is None:  # an end of the text may be the beginning of the tag
        tails = range(min(len(BEGIN), len(text)), 0, -1)
        begin = next((len(text) - n for n in tails if text.endswith(BEGIN[:n])), len(text))
    return text[:begin].rstrip("\n")


def _begin(text: str) -> int | None:
    """Where the first call begins; a call within a thought is none."""
    found = text.find(BEGIN, max(text.rfind(THOUGHT_END), 0))
    return found if found >= 0 else None


def _call(content: str) -> dict[str, Any] | None:
    try:
        call = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments = call.get("arguments", {})
    written = arguments if isinstance(arguments, str) else _spaced(arguments)
    function = {"name": call["name"], "arguments": written}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


def _spaced(value: Any) -> str:
    """JSON with a space after commas and colons, as the engines and OpenAI write arguments."""
    import json

    return json.dumps(value, ensure_ascii=False)
