"""OpenAI's chat messages: parts with image_url, tool calls; video_url as vLLM and SGLang add it.

Holds everything that a record does. reasoning_content is the field that vLLM and SGLang use.
References stay what they are: the API itself takes addresses and data: URIs.
"""

from typing import Any

from qvl.formats.context import Trade, with_id
from qvl.formats.parts import validate

CONTAINER = "jsonl"
KINDS = ("image", "video")


def to_record(row: dict, trade: Trade) -> dict:
    turns = validate.turns(row, "messages", "role", trade)
    return with_id({**row, "messages": [_from(turn, trade) for turn in turns]}, trade)


def to_row(record: dict, trade: Trade) -> dict:
    return {**record, "messages": [_to(message) for message in record["messages"]]}


def _from(message: dict, trade: Trade) -> dict:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_part(part, trade) for part in content]}


def _part(part: Any, trade: Trade) -> dict:
    part = validate.mapping(part, "a part", trade)
    for kind in KINDS:
        name = f"{kind}_url"
        if part.get(name) is None:
            continue
        url = {"url": part[name]} if isinstance(part[name], str) else part[name]
        url = dict(validate.mapping(url, name, trade))
        reference = validate.text(url.pop("url", None), name, trade)
        beside = {k: v for k, v in part.items() if k not in ("type", name)}
        return {"type": kind, kind: reference, **url, **beside}
    if part.get("type") != "text":
        raise trade.wrong(f"a part of type {part.get('type')!r}")
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
