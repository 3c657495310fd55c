"""Tool calls and schemas as JSON text, for formats without a field for them.

Arguments are read back as JSON text, as in OpenAI's API, whatever form they were written in.
"""

from typing import Any

import orjson

from qvl.formats.context import Context


def shorten(call: Any, context: Context) -> dict:
    """{"name", "arguments"} of an OpenAI tool call, and its "id" where it has one."""
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        raise context.error("a tool call is not an object with a function")
    function = call["function"]
    if call.get("type", "function") != "function":
        context.unsupported(f"a tool call of type {call['type']!r}")
    extras = {*call.keys(), *function.keys()} - {"id", "type", "function", "name", "arguments"}
    for extra in sorted(extras):
        context.unsupported(f"{extra!r} of a tool call")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            raise context.error("the arguments of a tool call are not JSON") from None
    short = {"name": function.get("name"), "arguments": arguments}
    return {**short, "id": call["id"]} if call.get("id") is not None else short


def expand(short: Any, context: Context) -> dict:
    """The OpenAI tool call of {"name", "arguments"}, given as an object or as JSON."""
    try:
        called = orjson.loads(short) if isinstance(short, str) else short
        name, arguments = called["name"], called["arguments"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise context.error('a tool call is not {"name": ..., "arguments": ...}') from None
    for extra in sorted(called.keys() - {"name", "arguments", "id"}):
        context.unsupported(f"{extra!r} of a tool call")
    function = {"name": name, "arguments": text_of(arguments)}
    call = {"type": "function", "function": function}
    return {"id": called["id"], **call} if "id" in called else call


def with_schemas(record: dict, context: Context) -> dict:
    """The record with its tools parsed if they are JSON text, and without empty ones."""
    schemas = record.get("tools")
    if schemas in ("", None):
        return {name: value for name, value in record.items() if name != "tools"}
    if not isinstance(schemas, str):
        return record
    try:
        return {**record, "tools": orjson.loads(schemas)}
    except orjson.JSONDecodeError:
        raise context.error("tools is a string but not JSON") from None


def text_of(value: Any) -> str:
    """The JSON text of a value."""
    return orjson.dumps(value).decode()
