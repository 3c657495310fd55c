"""<image> and <video> in a text, against parts: how most formats say where a medium stands."""

import re
from collections.abc import Iterator
from typing import Any

from qvl.formats.context import Trade
from qvl.formats.parts import validate

PLACEHOLDER = re.compile(r"<(image|video)>")
KINDS: tuple[str, ...] = ("image", "video")


class Media:
    """The images and videos of a row, taken in order as placeholders name them."""

    def __init__(self, row: dict, trade: Trade, kinds: tuple[str, ...] = KINDS) -> None:
        self._trade = trade
        found = {kind: listed(row, kind, trade) if kind in kinds else [] for kind in KINDS}
        self._given = {kind: len(media) for kind, media in found.items()}
        self._named: dict[str, int] = dict.fromkeys(KINDS, 0)
        self._rest = {kind: iter(media) for kind, media in found.items()}

    def take(self, kind: str) -> str | None:
        """The next one's reference; None where there is none, which `check` will name."""
        self._named[kind] += 1
        medium = next(self._rest[kind], None)
        return None if medium is None else self._trade.reference(medium)

    def untouched(self, kind: str) -> Iterator[str]:
        """All of a kind of which none was named."""
        if not self._named[kind]:
            self._named[kind] = self._given[kind]
            yield from map(self._trade.reference, self._rest[kind])

    def check(self) -> None:
        """Every placeholder had its medium, and every medium its placeholder."""
        for kind in KINDS:
            named, given = self._named[kind], self._given[kind]
            if named != given:
                raise self._trade.wrong(f"{named} <{kind}> in the text, but {given} {kind}s")


def to_parts(value: Any, media: Media, trade: Trade) -> str | list[dict]:
    """The content of a message: a string without media, else parts in the order of the text."""
    text = validate.text(value, "the content of a turn", trade)
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


def to_text(content: Any, media: dict[str, list[str]], trade: Trade) -> str:
    """A message's content with placeholders; its media are added to `media`."""
    if content is None:
        return ""
    if isinstance(content, str):
        return plain(content, trade)
    out = []
    for part in content:
        kind = part["type"]
        lose_extras(part, trade)
        if kind == "text":
            out.append(plain(part["text"], trade))
        else:
            media[kind].append(part[kind])
            out.append(f"<{kind}>")
    return "".join(out)


def lose_extras(part: dict, trade: Trade) -> None:
    """Name the fields of a part besides its type and what the type says."""
    for extra in sorted(part.keys() - {"type", part["type"]}):
        trade.lose(f"{extra!r} of a part")


def plain(text: str, trade: Trade) -> str:
    """A text that means no placeholder."""
    if PLACEHOLDER.search(text):
        trade.lose("the words <image> or <video> in a text")
        return PLACEHOLDER.sub(r"<\1 >", text)
    return text


def collector() -> dict[str, list[str]]:
    """Where `to_text` puts the media of one row."""
    return {kind: [] for kind in KINDS}


def listed(row: dict, kind: str, trade: Trade) -> list:
    """row["images"] or row["image"], a list or one."""
    given = [row[name] for name in (kind, kind + "s") if row.get(name) is not None]
    if len(given) == 2:
        raise trade.wrong(f"both {kind} and {kind}s")
    found = given[0] if given else []
    return list(found) if isinstance(found, list | tuple) else [found]
