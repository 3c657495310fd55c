"""Answers that are off topic or harmful, by word lists that a user can replace.

The rules find clear cases: an answer that cannot see its image, a bare refusal, parts of another
conversation or of a web page, and a long answer that shares no word with the query. A judge decides the rest.
"""

import functools
import re
from collections.abc import Iterator

from qvl.text import function_words, vague, words
from qvl.text.prose import prose
from qvl.text.scripts import SCRIPTS

LONG_ANSWER = 200  # characters; a shorter one may answer without repeating a word of the query
STEM = 4  # letters that two forms of a word share
SHORTEST_WORD = 4  # letters: shorter ones are mostly function words
HAN = re.compile(f"[{SCRIPTS['Han']}]{{2}}")
DENSE = re.compile(f"[{SCRIPTS['Kana']}{SCRIPTS['Hangul']}{SCRIPTS['Han']}{SCRIPTS['Thai']}]")
LONGEST_REFUSAL = 400  # characters
ASKED_FOR = re.compile(r"\b(?:write|compose|story|poem|essay|translate|imagine|role|song|joke)\b")


def blind(answer: str, *, has_media: bool, lists: str | None = None) -> str:
    """The words by which an answer says that it cannot see, although there is an image; else ""."""
    if not has_media:
        return ""
    found = words.patterns("blind", lists).find(words.lowered(answer)[:LONGEST_REFUSAL])
    return f"cannot see: {found[:60]!r}" if found else ""


def refused(answer: str, query: str, lists: str | None = None) -> str:
    """The words of an answer that only refuses, where the query asks for nothing harmful; else ""."""
    if len(answer.strip()) > LONGEST_REFUSAL:
        return ""
    stripped = words.lowered(answer.strip()).replace("\u2019", "'")
    found = words.patterns("refusal", lists).at_start(stripped)
    if not found or words.patterns("harmful", lists).find(words.lowered(query)):
        return ""
    return f"refuses: {found[:60]!r}"


def spilled(answer: str, query: str, lists: str | None = None) -> str:
    """The part of an answer that belongs to a further turn or a web page; "" if none, or if the query has one too."""
    spill = words.patterns("spill", lists)
    found = spill.at_a_line(words.lowered(answer))
    if not found or spill.find(words.lowered(query)) or _asks_for_turns(query):
        return ""
    return f"spilled: {found.strip()[:60]!r}"


def _asks_for_turns(query: str) -> bool:
    lowered = words.lowered(query)
    return any(
        word in lowered
        for word in ("dialog", "conversation", "quiz", "question", "faq", "chat", "interview")
    )


def unrelated(answer: str, query: str, min_words: int) -> str:
    """The content words of a query, if a long answer has none of them; else "".

    A query with fewer than `min_words` content words is not judged. Words match by their first STEM letters; in
    scripts without spaces, two consecutive characters count as a word.
    """
    dense = DENSE.search(answer) is not None
    if not min_words or len(answer) < LONG_ANSWER / (3 if dense else 1):
        return ""
    lowered, text = words.lowered(query), words.lowered(answer)
    if ASKED_FOR.search(lowered):
        return ""
    sought = set()
    for word in vague.subjects(lowered):
        for piece in _pieces(word):
            if piece in text:
                return ""
            sought.add(piece)
    if len(sought) < min_words or len(prose(answer)) < len(answer) / 2:
        return ""
    return _none_of(sought)


def _pieces(word: str) -> Iterator[str]:
    """The parts of a word to search for; none of a short one, which may be a function word."""
    if HAN.search(word):
        yield from (word[start : start + 2] for start in range(len(word) - 1))
    elif word[0].isdigit() or DENSE.search(word):
        yield word[:2] if DENSE.search(word) else word
    elif len(word) >= SHORTEST_WORD and word not in function_words.common():
        stem = word[:STEM]
        if stem not in _requests():
            yield stem


@functools.cache
def _requests() -> frozenset[str]:
    return frozenset(stem for line in words.lines("request") for stem in line.split())


def _none_of(sought: set[str]) -> str:
    return f"none of the query's words: {' '.join(sorted(sought))[:60]}"


def harmful(answer: str, query: str, lists: str | None = None) -> str:
    """The harmful words of an answer, or of a query that it complies with; else ""."""
    harm = words.patterns("harmful", lists)
    lowered = words.lowered(answer).replace("\u2019", "'")
    found = harm.find(lowered)
    sought = "" if found else harm.find(words.lowered(query))
    if not (found or sought) or words.patterns("harmless", lists).find(lowered):
        return ""
    if sought and words.patterns("harmless", lists).find(words.lowered(query)):
        return ""
    return f"{'contains' if found else 'complies with'} {(found or sought)[:60]!r}"
