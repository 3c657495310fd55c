"""Tool calls and schemas as JSON in a text, as formats without a field for them write them.

Arguments come back as the JSON text that OpenAI's API has, however they were written.
"""

from typing import Any

import orjson

from qvl.formats.context import Trade


def brief(call: Any, trade: Trade) -> dict:
    """{"name", "arguments"} of an OpenAI tool call, and its "id" where it has one."""
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        raise trade.wrong("a tool call is no object with a function")
    function = call["function"]
    if call.get("type", "function") != "function":
        trade.lose(f"a tool call of type {call['type']!r}")
    extras = {*call.keys(), *function.keys()} - {"id", "type", "function", "name", "arguments"}
    for extra in sorted(extras):
        trade.lose(f"{extra!r} of a tool call")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            raise trade.wrong("the arguments of a tool call are no JSON") from None
    short = {"name": function.get("name"), "arguments": arguments}
    return {**short, "id": call["id"]} if call.get("id") is not None else short


def full(short: Any, trade: Trade) -> dict:
    """The OpenAI tool call of a {"name", "arguments"} or of its JSON."""
    try:
        called = orjson.loads(short) if isinstance(short, str) else short
        name, arguments = called["name"], called["arguments"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise trade.wrong('a tool call is not {"name": ..., "arguments": ...}') from None
    for extra in sorted(called.keys() - {"name", "arguments", "id"}):
        trade.lose(f"{extra!r} of a tool call")
    function = {"name": name, "arguments": text_of(arguments)}
    call = {"type": "function", "function": function}
    return {"id": called["id"], **call} if "id" in called else call


def parse_schemas(schemas: Any, trade: Trade) -> Any:
    if not isinstance(schemas, str):
        return schemas
    try:
        return orjson.loads(schemas)
    except orjson.JSONDecodeError:
        raise trade.wrong("tools is a string but no JSON") from None


def text_of(value: Any) -> str:
    return orjson.dumps(value).decode()
