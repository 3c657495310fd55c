"""OpenAI's chat messages: parts with image_url, tool calls; and video_url as in vLLM and SGLang.

Holds everything that a record does. reasoning_content is the field of vLLM and SGLang. References are
unchanged: the API itself takes addresses and data: URIs.
"""

from typing import Any

from qvl.formats.context import Context, with_id
from qvl.formats.parts import validate

CONTAINER = "jsonl"
KINDS = ("image", "video")


def to_record(row: dict, context: Context) -> dict:
    turns = validate.turns(row, "messages", "role", context)
    return with_id({**row, "messages": [_from(turn, context) for turn in turns]}, context)


def to_row(record: dict, context: Context) -> dict:
    return {**record, "messages": [_to(message) for message in record["messages"]]}


def _from(message: dict, context: Context) -> dict:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_part(part, context) for part in content]}


def _part(part: Any, context: Context) -> dict:
    part = validate.mapping(part, "a part", context)
    for kind in KINDS:
        name = f"{kind}_url"
        if part.get(name) is None:
            continue
        url = {"url": part[name]} if isinstance(part[name], str) else part[name]
        url = dict(validate.mapping(url, name, context))
        reference = validate.text(url.pop("url", None), name, context)
        extras = {k: v for k, v in part.items() if k not in ("type", name)}
        return {"type": kind, kind: reference, **url, **extras}
    if part.get("type") != "text":
        raise context.error(f"a part of type {part.get('type')!r}")
    return part


def _to(message: dict) -> dict:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_url(part) for part in content]}


def _url(part: dict) -> dict:
    kind = part["type"]
    if kind == "text":
        return part
    extras = {k: v for k, v in part.items() if k not in ("type", kind)}
    return {"type": f"{kind}_url", f"{kind}_url": {"url": part[kind], **extras}}
