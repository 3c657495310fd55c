"""The messages, texts and media of a record: what every stage reads them by.

These readers take any record. A field whose type differs from qvl-records(5) counts as absent; it is
`qvl.record.check` that reports it.
"""

from typing import Any

import orjson

from qvl.record.types import MEDIA


def turns(record: Any) -> list[dict]:
    """The messages that are objects."""
    return [message for message in _messages(record) if isinstance(message, dict)]


def text(message: Any) -> str:
    """The text of a message, its parts joined; "" where there is none."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    found = []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") == "text":
            words = part.get("text")
            if isinstance(words, str):
                found.append(words)
    return found[0] if len(found) == 1 else "".join(found)


def conversation_text(record: Any, role: str | None = None) -> str:
    """The text of all turns, or of those of one role, with a line feed between two."""
    return "\n".join(text(m) for m in turns(record) if role is None or m.get("role") == role)


def question(record: Any) -> str:
    """The text of the last user turn without its format prompt; "" where there is none."""
    for message in reversed(_messages(record)):
        if isinstance(message, dict) and message.get("role") == "user":
            return without_format_prompt(text(message), record)
    return ""


def without_format_prompt(words: str, record: Any) -> str:
    """The text of a user turn without the format prompt that `qvl rl prepare` put at its end.

    The prompt is ours and not the user's: the language and the subject of a question lack it.
    """
    prompt = record.get("format_prompt")
    if not isinstance(prompt, str) or not words.endswith(prompt):
        return words
    return words[: len(words) - len(prompt)].removesuffix("\n")


def final(record: Any) -> Any:
    """The assistant turn that ends the record, or None where it ends otherwise."""
    return _final(_messages(record))


def final_text(record: Any) -> str:
    """The text of the assistant turn that ends the record; "" where there is none."""
    turn = final(record)
    return text(turn) if turn is not None else ""


def prompt(record: Any) -> list[Any]:
    """The messages before the answer: all but an assistant turn that ends the record."""
    messages = _messages(record)
    return messages[:-1] if _final(messages) is not None else messages


def prompt_text(record: Any) -> str:
    """The prompt as one text, a line per turn, with its tool calls and the record's tools.

    Two records with the same prompt and the same media ask the same question.
    """
    pieces, extra = [], []
    for message in prompt(record):
        if isinstance(message, dict):
            pieces.append(f"{message.get('role')}: {text(message)}")
            if calls := message.get("tool_calls"):
                extra.append(calls)
    if record.get("tools"):
        extra.append(record["tools"])
    for each in extra:
        pieces.append(orjson.dumps(each, option=orjson.OPT_SORT_KEYS).decode())
    return "\n".join(pieces)


def media(record: Any) -> list[tuple[str, str]]:
    """(kind, reference) of each image and video, in their order; kind is "image" or "video".

    A video that is given as frames is one reference: those of all frames, one per line.
    """
    found = []
    for message in _messages(record):
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, list):
            continue
        for part in content:
            if not isinstance(part, dict) or (kind := part.get("type")) not in MEDIA:
                continue
            reference = part.get(kind)
            if kind == "video" and isinstance(reference, list):
                reference = "\n".join(map(str, reference))
            if isinstance(reference, str):
                found.append((kind, reference))
    return found


def sizes(message: Any) -> tuple[int, int, int]:
    """Characters of `text`, images and videos of a message: what `text` and `media` find, in one walk."""
    content = message.get("content")
    if type(content) is str:
        return len(content), 0, 0
    characters = images = videos = 0
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        kind = part.get("type")
        found = part.get(kind) if type(kind) is str else None
        if kind == "text":
            characters += len(found) if isinstance(found, str) else 0
        elif kind == "image":
            images += isinstance(found, str)
        elif kind == "video":
            videos += isinstance(found, str | list)
    return characters, images, videos


def images(record: Any) -> list[str]:
    """The references of the images, in their order."""
    return [reference for kind, reference in media(record) if kind == "image"]


def videos(record: Any) -> list[str]:
    """The references of the videos, in their order."""
    return [reference for kind, reference in media(record) if kind == "video"]


def modality(record: Any) -> str:
    """ "text" or "multimodal", the two groups by which the report counts its data."""
    return "multimodal" if media(record) else "text"


def media_kind(record: Any) -> str:
    """What the record shows: "text", "image", "video" or "image+video"."""
    return "+".join(sorted({kind for kind, _ in media(record)})) or "text"


def _messages(record: Any) -> list[Any]:
    messages = record.get("messages")
    return messages if isinstance(messages, list) else []


def _final(messages: list[Any]) -> Any:
    last = messages[-1] if messages else None
    return last if isinstance(last, dict) and last.get("role") == "assistant" else None
