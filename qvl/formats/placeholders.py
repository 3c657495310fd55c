"""<image> and <video> in a text, against parts: how most formats say where a medium stands."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from qvl.formats.trade import Trade

PLACEHOLDER = re.compile(r"<(image|video)>")
KINDS = ("image", "video")


def to_parts(text: str, media: dict[str, Iterator[str]], trade: Trade) -> str | list[dict]:
    """The content of a message: a string without media, else parts in the order of the text."""
    if not PLACEHOLDER.search(text):
        return text
    parts: list[dict[str, Any]] = []
    at = 0
    for found in PLACEHOLDER.finditer(text):
        if found.start() > at:
            parts.append({"type": "text", "text": text[at : found.start()]})
        kind = found[1]
        reference = next(media[kind], None)
        if reference is None:
            raise trade.wrong(f"more <{kind}> than {kind}s")
        parts.append({"type": kind, kind: reference})
        at = found.end()
    if at < len(text):
        parts.append({"type": "text", "text": text[at:]})
    return parts


def to_text(content: Any, media: dict[str, list[str]], trade: Trade) -> str:
    """A message's content with placeholders; its media are added to `media`."""
    if content is None:
        return ""
    if isinstance(content, str):
        return plain(content, trade)
    out = []
    for part in content:
        kind = part["type"]
        if kind == "text":
            out.append(plain(part["text"], trade))
            continue
        for extra in part.keys() - {"type", kind}:
            trade.lose(f"{extra!r} of a part")
        media[kind].append(part[kind])
        out.append(f"<{kind}>")
    kinds = [part["type"] for part in content]
    if ("text", "text") in pairwise(kinds) or kinds == ["text"] or not kinds:
        trade.lose("the borders between text parts")
    return "".join(out)


def plain(text: str, trade: Trade) -> str:
    """A text that means no placeholder."""
    if PLACEHOLDER.search(text):
        trade.lose("the words <image> or <video> in a text")
        return PLACEHOLDER.sub(r"<\1 >", text)
    return text


def media_of(row: dict, trade: Trade) -> dict[str, Iterator[str]]:
    """The references of a row's images and videos, to be taken in order."""
    return {kind: iter([trade.reference(m) for m in listed(row, kind)]) for kind in KINDS}


def listed(row: dict, kind: str) -> list:
    """row["images"] or row["image"], a list or one."""
    found = row.get(kind + "s")
    if found is None:
        found = row.get(kind)
    if found is None:
        return []
    return list(found) if isinstance(found, list | tuple) else [found]


def check_spent(media: dict[str, Iterator[str]], trade: Trade) -> None:
    for kind, rest in media.items():
        if next(rest, None) is not None:
            raise trade.wrong(f"more {kind}s than <{kind}>")


def leading(media: dict[str, Iterator[str]], messages: list[dict]) -> None:
    """Put media that no placeholder names before the first user turn, as loaders do."""
    rest = [{"type": kind, kind: ref} for kind, refs in media.items() for ref in refs]
    if not rest:
        return
    for message in messages:
        if message["role"] == "user":
            content = message["content"]
            text = [{"type": "text", "text": content}] if isinstance(content, str) else content
            message["content"] = rest + text
            return
