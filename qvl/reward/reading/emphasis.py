"""Emphasis in a response: **bold**, `code` and quoted text, as the answer itself or as mere formatting.

A verifier of short answers reads the one emphasized text as the answer (`emphasized`), and the final line
loses the asterisks around it (`unwrapped`). A document is compared without any marks (`without_marks`).
"""

import re

_EMPHASIZED = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|「([^」\n]+)」|\*\*([^*\n]+)\*\*|`([^`\n]+)`")
_MARKS = re.compile(r"\*\*|__|~~|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)|`")


def emphasized(text: str) -> str | None:
    """The only quoted, bold or code text in `text`; None if there is none, or several that differ."""
    found = {next(filter(None, groups), "") for groups in _EMPHASIZED.findall(text)}
    return found.pop() if len(found) == 1 else None


def unwrapped(line: str) -> str:
    """A line without the spaces and asterisks around it: "**42**" is "42"."""
    return line.strip().strip("*").strip()


def without_marks(text: str) -> str:
    """A text without Markdown's marks of bold, italics, strikethrough and code."""
    return _MARKS.sub("", text)
