"""The word lists of the rules: words/NAME.txt, a file a subject, in every language that it knows.

A line is an entry, `#` begins a comment. A file of patterns may begin with `? WORD ...`: texts that
hold none of these words, which a substring search tells, skip the patterns.
"""

import functools
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "words"


@functools.cache
def lines(name: str) -> tuple[str, ...]:
    """The entries of a list, in order."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    stripped = (line.strip() for line in text.splitlines())
    return tuple(line for line in stripped if line and not line.startswith("#"))


class Patterns:
    """The patterns of a list as one, tried only where a key is in the text."""

    def __init__(self, name: str) -> None:
        entries = lines(name)
        self.keys = tuple(word for line in entries if line[:2] == "? " for word in line[2:].split())
        body = "|".join(f"(?:{line})" for line in entries if line[:2] != "? ")
        self.compiled = re.compile(body, re.MULTILINE)

    def find(self, lowered: str) -> str:
        """What in a lower-case text matches, or "" """
        if self.keys and not any(key in lowered for key in self.keys):
            return ""
        found = self.compiled.search(lowered)
        return found.group() if found else ""

    def whole(self, lowered: str) -> bool:
        """Whether a lower-case text is one of the patterns from end to end."""
        return self.compiled.fullmatch(lowered) is not None


@functools.cache
def patterns(name: str) -> Patterns:
    return Patterns(name)


@functools.cache
def entries(name: str) -> frozenset[str]:
    """The entries of a list, cleaned as `clean` does, for a text compared whole."""
    return frozenset(clean(line) for line in lines(name))


def clean(text: str) -> str:
    """Lower case, without punctuation or symbols, words apart by one space."""
    return SYMBOLS.sub(" ", text.lower().replace("'", "").replace("\u2019", "")).strip()


SYMBOLS = re.compile(r"[\W_]+")
