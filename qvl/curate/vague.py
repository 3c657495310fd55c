"""Whether a query points at something that it does not name, as "what about it?" does."""

import functools
import re

from qvl.curate import words

UNSPACED = ("zh", "ja", "th")  # languages that put no spaces between words
LONGEST = 60  # characters; our choice: in our lists no vague query is longer, most queries are
TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*|\d+")


def empty(text: str) -> str:
    """The word that points, where no word of `text` has a subject of its own; else ""."""
    if len(text) > LONGEST:
        return ""
    lowered = text.lower()
    tokens = [token.replace("\u2019", "'") for token in TOKEN.findall(lowered)]
    for language, (point, filler, person) in _lists().items():
        if language in UNSPACED:
            continue
        if person and 0 < len(tokens) <= 3 and all(token in filler for token in tokens):
            return "" if any(token in person for token in tokens) else " ".join(tokens)
        pointed = next((token for token in tokens if token in point), "")
        if pointed and all(token in point or token in filler for token in tokens):
            return pointed
    bare = words.SYMBOLS.sub("", lowered)
    for pattern, point in _unspaced():
        found = pattern.findall(bare)
        pointed = next((word for word in found if word in point), "")
        if pointed and len("".join(found)) == len(bare):
            return pointed
    return ""


def refers_back(text: str) -> bool:
    """Whether `text` is nothing but a reference to an earlier turn."""
    return len(text) <= LONGEST and words.patterns("back").whole(words.clean(text))


@functools.cache
def _lists() -> dict[str, tuple[frozenset[str], frozenset[str], frozenset[str]]]:
    """Language -> the words that point, the words around them, the words of persons."""
    lists: dict[str, dict[str, frozenset[str]]] = {}
    for line in words.lines("vague"):
        language, kind, *entries = line.replace(":", " ", 1).split()
        lists.setdefault(language, {})[kind] = frozenset(entries)
    none: frozenset[str] = frozenset()
    return {
        language: (kinds["point"], kinds["filler"], kinds.get("person", none))
        for language, kinds in lists.items()
    }


@functools.cache
def _unspaced() -> list[tuple[re.Pattern[str], frozenset[str]]]:
    found = []
    for language in UNSPACED:
        point, filler, _ = _lists()[language]
        longest_first = sorted(point | filler, key=len, reverse=True)
        found.append((re.compile("|".join(map(re.escape, longest_first))), point))
    return found
