"""<image> and <video> in a text, which most formats have in place of parts."""

import re
from collections.abc import Iterator
from typing import Any

from qvl.formats.context import Context
from qvl.formats.parts import validate

PLACEHOLDER = re.compile(r"<(image|video)>")
KINDS: tuple[str, ...] = ("image", "video")


class RowMedia:
    """The images and videos of a row, taken in the order of their placeholders."""

    def __init__(self, row: dict, context: Context, kinds: tuple[str, ...] = KINDS) -> None:
        self._context = context
        found = {kind: listed(row, kind, context) if kind in kinds else [] for kind in KINDS}
        self._given = {kind: len(media) for kind, media in found.items()}
        self._named: dict[str, int] = dict.fromkeys(KINDS, 0)
        self._rest = {kind: iter(media) for kind, media in found.items()}

    def take(self, kind: str) -> str | None:
        """The reference of the next one; None if there is none, which `check` reports."""
        self._named[kind] += 1
        medium = next(self._rest[kind], None)
        return None if medium is None else self._context.reference(medium)

    def unclaimed(self, kind: str) -> Iterator[str]:
        """Yield all of a kind if no placeholder has named any."""
        if not self._named[kind]:
            self._named[kind] = self._given[kind]
            yield from map(self._context.reference, self._rest[kind])

    def check(self) -> None:
        """Raise CannotConvert unless there are as many placeholders as images and videos."""
        for kind in KINDS:
            named, given = self._named[kind], self._given[kind]
            if named != given:
                raise self._context.error(f"{named} <{kind}> in the text, but {given} {kind}s")


def to_parts(value: Any, media: RowMedia, context: Context) -> str | list[dict]:
    """The content of a message: parts in the order of the text, or a string if there are no media."""
    text = validate.text(value, "the content of a turn", context)
    if not PLACEHOLDER.search(text):
        return text
    parts: list[dict[str, Any]] = []
    at = 0
    for found in PLACEHOLDER.finditer(text):
        if found.start() > at:
            parts.append({"type": "text", "text": text[at : found.start()]})
        reference = media.take(found[1])
        if reference is not None:
            parts.append({"type": found[1], found[1]: reference})
        at = found.end()
    if at < len(text):
        parts.append({"type": "text", "text": text[at:]})
    return parts


def to_text(content: Any, media: dict[str, list[str]], context: Context) -> str:
    """The content of a message as text with placeholders; adds its references to `media`."""
    if content is None:
        return ""
    if isinstance(content, str):
        return escape(content, context)
    out = []
    for part in content:
        kind = part["type"]
        lose_extras(part, context)
        if kind == "text":
            out.append(escape(part["text"], context))
        else:
            media[kind].append(part[kind])
            out.append(f"<{kind}>")
    return "".join(out)


def lose_extras(part: dict, context: Context) -> None:
    """Report the fields of a part that a placeholder cannot hold."""
    for extra in sorted(part.keys() - {"type", part["type"]}):
        context.unsupported(f"{extra!r} of a part")


def escape(text: str, context: Context) -> str:
    """The text without accidental placeholders."""
    if PLACEHOLDER.search(text):
        context.unsupported("the words <image> or <video> in a text")
        return PLACEHOLDER.sub(r"<\1 >", text)
    return text


def collector() -> dict[str, list[str]]:
    """The lists, by kind, that `to_text` adds the references of a row to."""
    return {kind: [] for kind in KINDS}


def columns(media: dict[str, list[str]]) -> dict[str, list[str]]:
    """The columns images and videos of a row, as far as it has any."""
    return {f"{kind}s": found for kind, found in media.items() if found}


def listed(row: dict, kind: str, context: Context) -> list:
    """The media in row["images"] or row["image"], a list or a single one."""
    given = [row[name] for name in (kind, kind + "s") if row.get(name) is not None]
    if len(given) == 2:
        raise context.error(f"both {kind} and {kind}s")
    found = given[0] if given else []
    return list(found) if isinstance(found, list | tuple) else [found]
