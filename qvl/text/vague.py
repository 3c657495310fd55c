"""Whether a query points at something that it does not name, as "what about it?" does."""

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from qvl.text import words

UNSPACED = ("zh", "ja", "th")  # languages that put no spaces between words
LONGEST = 60  # characters; our choice: in our lists no vague query is longer, most queries are
TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+")


class Language(NamedTuple):
    """The word lists of one language."""

    point: frozenset[str] = frozenset()
    filler: frozenset[str] = frozenset()
    person: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()

    def bare(self, tokens: list[str]) -> bool:
        """Whether no token has a subject of its own."""
        return bool(tokens) and all(one in self.point or one in self.filler for one in tokens)


def empty(text: str) -> str:
    """The word that points, where no word of `text` has a subject of its own; else ""."""
    for language, tokens in _readings(text):
        pointed = next((token for token in tokens if token in language.point), "")
        if pointed:
            return pointed
        if language.person and len(tokens) <= 3 and language.person.isdisjoint(tokens):
            return " ".join(tokens)
    return ""


def open_request(text: str) -> str:
    """The word that asks for what no reference answer settles, where no other word has a subject."""
    for language, tokens in _readings(text):
        if not language.open.isdisjoint(tokens):
            return next(token for token in tokens if token in language.open)
    return ""


def _readings(text: str) -> Iterator[tuple[Language, list[str]]]:
    """Each language in which no word of a short `text` has a subject, and the words."""
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
    """Whether `text` is nothing but a reference to an earlier turn."""
    return len(text) <= LONGEST and words.patterns("back").whole(words.clean(text))


def subjects(text: str) -> list[str]:
    """The runs of letters and digits of a lower-case text that carry a subject: no word of the lists."""
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
