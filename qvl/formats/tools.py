"""Tool calls and schemas as JSON in a text, as formats without a field for them write them."""

from typing import Any

import orjson

from qvl.formats.trade import Trade


def call_text(call: dict, trade: Trade) -> str:
    """{"name", "arguments"} of an OpenAI tool call."""
    if call.get("id") is not None:
        trade.lose("the id of a tool call")
    function = call.get("function", call)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            raise trade.wrong("the arguments of a tool call are no JSON") from None
    return orjson.dumps({"name": function.get("name"), "arguments": arguments}).decode()


def append_call(messages: list[dict], text: Any, trade: Trade) -> None:
    """Add a call to the assistant turn before it, or to a new one."""
    try:
        called = orjson.loads(text) if isinstance(text, str) else text
        name, arguments = called["name"], called["arguments"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise trade.wrong('a tool call is not {"name": ..., "arguments": ...}') from None
    function = {"name": name, "arguments": orjson.dumps(arguments).decode()}
    call = {"type": "function", "function": function}
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", []).append(call)


def parse_schemas(schemas: Any, trade: Trade) -> Any:
    if not isinstance(schemas, str):
        return schemas
    try:
        return orjson.loads(schemas)
    except orjson.JSONDecodeError:
        raise trade.wrong("tools is a string but no JSON") from None


def schemas_text(schemas: Any) -> str:
    return orjson.dumps(schemas).decode()
