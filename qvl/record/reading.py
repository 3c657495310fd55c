"""What a stage asks of any record, sound or not: its turns, its text, its media.

A field that has another type than qvl-records(5) says counts as absent here: these readers serve
commands that count, sort and choose, and it is `qvl check` that judges.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from qvl.record import MEDIA


def turns(record: dict) -> list[dict]:
    """The messages that are objects."""
    messages = record.get("messages")
    if not isinstance(messages, list):
        return []
    return [message for message in messages if isinstance(message, dict)]


def said(message: dict) -> str:
    """The text of a message, its parts joined."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(
        part["text"]
        for part in _parts(content)
        if part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def text(record: dict, role: str | None = None) -> str:
    """The text of all turns, or of those of one role, a line feed between two."""
    return "\n".join(said(m) for m in turns(record) if role is None or m.get("role") == role)


def question(record: dict) -> str:
    """The text of the last user turn."""
    users = [message for message in turns(record) if message.get("role") == "user"]
    return said(users[-1]) if users else ""


def final(record: dict) -> str:
    """The text of the assistant turn that ends the record."""
    messages = turns(record)
    return said(messages[-1]) if messages and messages[-1].get("role") == "assistant" else ""


def prompt(record: dict) -> str:
    """All that comes before the answer: every turn but a last one of the assistant, and the tools.

    Two records with the same prompt and the same media ask for the same thing.
    """
    messages = turns(record)
    if messages and messages[-1].get("role") == "assistant":
        messages = messages[:-1]
    pieces = [f"{message.get('role')}: {said(message)}" for message in messages]
    extra = [message["tool_calls"] for message in messages if message.get("tool_calls")]
    if record.get("tools"):
        extra.append(record["tools"])
    pieces += [orjson.dumps(what, option=orjson.OPT_SORT_KEYS).decode() for what in extra]
    return "\n".join(pieces)


def media(record: dict) -> Iterator[tuple[str, str]]:
    """(kind, reference) of each image and video, in the order they are seen.

    The reference of a video that is given as frames is all of them, a line each.
    """
    for message in turns(record):
        for part in _parts(message.get("content")):
            kind = part.get("type")
            found = part.get(kind)
            if kind == "video" and isinstance(found, list):
                found = "\n".join(map(str, found))
            if kind in MEDIA and isinstance(found, str):
                yield kind, found


def images(record: dict) -> list[str]:
    return [reference for kind, reference in media(record) if kind == "image"]


def videos(record: dict) -> list[str]:
    return [reference for kind, reference in media(record) if kind == "video"]


def modality(record: dict) -> str:
    """ "text" or "multimodal", the two shares in which the report counts its data."""
    return "text" if next(media(record), None) is None else "multimodal"


def media_kind(record: dict) -> str:
    """What the record shows: "text", "image", "video" or "image+video"."""
    return "+".join(sorted({kind for kind, _ in media(record)})) or "text"


def _parts(content: Any) -> list[dict]:
    if not isinstance(content, list):
        return []
    return [part for part in content if isinstance(part, dict)]
