"""Emphasis in a response: **bold**, *italic*, `code` and quoted text, as the answer itself or as mere formatting.

A verifier of short answers reads the one emphasized text as the answer (`emphasized`), and the final line
loses the marks around it (`unwrapped`). A document is compared without any marks (`without_marks`).
"""

import re
from functools import lru_cache

MAX_CACHED = 2000  # characters of a line

_EMPHASIZED = re.compile(
    r"\"([^\"\n]+)\"|“([^”\n]+)”|「([^」\n]+)」|『([^』\n]+)』|(?<![A-Za-z0-9*])\*\*([^*\n]+)\*\*(?![A-Za-z0-9*])|`([^`\n]+)`"
    r"|(?<![A-Za-z0-9*])\*([^*\s](?:[^*\n]*[^*\s])?)\*(?![A-Za-z0-9*])|(?<!\w)__([^_\n]+)__(?!\w)"
    r"|(?<![\w_])_([^_\s](?:[^_\n]*[^_\s])?)_(?![\w_])"
)
_MARK = re.compile(r"[\"“「『*`_]")
_MARKS = re.compile(r"\*\*|__|~~|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)|`")
_WRAPPED = re.compile(r"([*_`]{1,3})([^\s*_`].*)(?<=[^\s*_`])\1[.!。！]?", re.DOTALL)
_WRAPS = frozenset("*_`")


def emphasized(text: str) -> str | None:
    """The only quoted, bold, italic or code text in `text`; None if there is none, or several that differ."""
    if not _MARK.search(text):
        return None
    return _emphasized(text) if len(text) < MAX_CACHED else _emphasized.__wrapped__(text)


@lru_cache(maxsize=64)
def _emphasized(text: str) -> str | None:
    found = {next(filter(None, groups), "") for groups in _EMPHASIZED.findall(text)}
    return found.pop() if len(found) == 1 else None


def unwrapped(line: str) -> str:
    """A line without the spaces around it and the marks around all of it: "**42**." is "42"."""
    line = line.strip()
    if line[:2] == line[-2:] == "**" and "*" not in line[2:-2]:  # for speed
        return line[2:-2].strip()
    while line[:1] in _WRAPS and (found := _WRAPPED.fullmatch(line)):
        if found[1] in found[2]:  # **one** and **two**
            break
        line = found[2].strip()
    return line


def without_marks(text: str) -> str:
    """A text without Markdown's marks of bold, italics, strikethrough and code."""
    return _MARKS.sub("", text)
