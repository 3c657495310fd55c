"""Whether a query refers to something that it does not name, as "what about it?" does."""

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from qvl.text import words

UNSPACED = ("zh", "ja", "th")  # languages that put no spaces between words
LONGEST = 60  # characters; our choice: most queries are longer, and no vague one in our lists is
TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+")


class Language(NamedTuple):
    """The word lists of one language."""

    point: frozenset[str] = frozenset()
    filler: frozenset[str] = frozenset()
    person: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()

    def bare(self, tokens: list[str]) -> bool:
        """Whether every token is a pointing or filler word."""
        return bool(tokens) and all(one in self.point or one in self.filler for one in tokens)


def empty(text: str) -> str:
    """The pointing word of a `text` that names no subject; else ""."""
    for language, tokens in _readings(text):
        pointed = next((token for token in tokens if token in language.point), "")
        if pointed:
            return pointed
        if language.person and len(tokens) <= 3 and language.person.isdisjoint(tokens):
            return " ".join(tokens)
    return ""


def open_request(text: str) -> str:
    """The word of an open request, such as "explain", in a `text` that names no subject; else ""."""
    for language, tokens in _readings(text):
        if not language.open.isdisjoint(tokens):
            return next(token for token in tokens if token in language.open)
    return ""


def _readings(text: str) -> Iterator[tuple[Language, list[str]]]:
    """Each language in which a short `text` names no subject, and its words."""
    if len(text) > LONGEST:
        return
    lowered = text.lower().replace("\u2019", "'")
    tokens = TOKEN.findall(lowered)
    joined = words.SYMBOLS.sub("", lowered)
    for name, language in _languages().items():
        if name not in UNSPACED:
            if language.bare(tokens):
                yield language, tokens
        elif not joined.isascii():
            found = _unspaced(name).findall(joined)
            if found and len("".join(found)) == len(joined):
                yield language, found


def refers_back(text: str) -> bool:
    """Whether the whole `text` is a reference to an earlier turn."""
    return len(text) <= LONGEST and words.patterns("back").whole(words.clean(text))


def subjects(text: str) -> list[str]:
    """The runs of letters and digits of a lower-case text that are in none of the lists."""
    for language in UNSPACED:
        if not text.isascii():
            text = _unspaced(language).sub(" ", text)
    return [word for word in TOKEN.findall(text) if word not in _empty()]


@functools.cache
def _empty() -> frozenset[str]:
    return frozenset().union(*(of.point | of.filler | of.open for of in _languages().values()))


@functools.cache
def _languages() -> dict[str, Language]:
    lists: dict[str, dict[str, frozenset[str]]] = {}
    for line in words.lines("vague"):
        language, kind, *entries = line.replace(":", " ", 1).split()
        lists.setdefault(language, {})[kind] = frozenset(entries)
    return {language: Language(**kinds) for language, kinds in lists.items()}


@functools.cache
def _unspaced(language: str) -> re.Pattern[str]:
    of = _languages()[language]
    return re.compile("|".join(map(re.escape, sorted(of.point | of.filler, key=len, reverse=True))))
