"""Constraints on the number of sentences, words and paragraphs of a text."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from qvl.reward.verifiers.instruction.constraints import arguments

Check = Callable[[str], bool]
Arguments = Mapping[str, Any]

WORD = re.compile(r"\w+")
_STARS = re.compile(r"\s?\*\*\*\s?")
# A mark, closing quotes or brackets, and then a space or the end; in Chinese and Japanese no space follows.
# A run of marks is matched once, from its first (++ does not backtrack), so that many dots take linear time.
_END = re.compile(
    r"(?<![.!?؟।۔])[.!?؟।۔]++[\"'”’)\]*_]*+(?=\s|$)"
    r"|[。！？]++[」』”]*+"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'])(?:mr|mrs|ms|dr|prof|st|jr|sr|vs|etc|e\.g|i\.e|cf|fig|no|vol|inc|ltd|co|approx|dept"
    r"|est|gen|col|rev|hon|u\.s|u\.k|a\.m|p\.m|ph\.d|[a-z])\.$",
    re.IGNORECASE,
)
_TITLE = re.compile(r"(?:^|[\s(\"'])(?:mr|mrs|ms|dr|prof|st|[A-Z])\.$", re.IGNORECASE)
_LONGEST_ABBREVIATION = 8  # characters, with the one before it
_CLOSING = ".,?!'\"”’:;"
_CLOSES = re.compile(f"[{_CLOSING}]")


def number_sentences(given: Arguments) -> Check:
    """Less than, or at least, `num_sentences` sentences."""
    holds = arguments.relation(given, "relation", "num_sentences")
    return lambda text: holds(sentences(text))


def sentences(text: str) -> int:
    """The number of sentences of a text; words after the last mark are one more."""
    return len(spans(text))


def spans(text: str) -> list[str]:
    """The sentences of a text."""
    found, start = [], 0
    for mark in _END.finditer(text):
        before = text[max(start, mark.end() - _LONGEST_ABBREVIATION) : mark.end()]
        goes_on = text[mark.end() : mark.end() + 2].strip()[:1]
        if mark[0] == "." and _ABBREVIATION.search(before) and goes_on and not goes_on.isupper():
            continue
        if mark[0] == "." and _TITLE.search(before) and goes_on:
            continue
        if mark[0][-1] in "\"'”’" and goes_on.islower():  # "Go!" he said
            continue
        if WORD.search(text, start, mark.end()):
            found.append(text[start : mark.end()])
        start = mark.end()
    if WORD.search(text, start):
        found.append(text[start:])
    return found


def number_paragraphs(given: Arguments) -> Check:
    """Exactly `num_paragraphs` paragraphs with *** between them."""
    wanted = arguments.number(given, "num_paragraphs")
    return lambda text: divided(_STARS.split(text)) == wanted


def divided(parts: list[str]) -> int:
    """The number of parts that are not empty; -1 if one between others is empty."""
    filled = [bool(part.strip()) for part in parts]
    if not all(filled[1:-1]):
        return -1
    return sum(filled)


def number_words(given: Arguments) -> Check:
    """Less than, or at least, `num_words` words."""
    holds = arguments.relation(given, "relation", "num_words")
    return lambda text: holds(len(WORD.findall(text)))


def nth_paragraph_first_word(given: Arguments) -> Check:
    """Exactly `num_paragraphs` paragraphs with empty lines between them, and `first_word` is the first
    word of paragraph `nth_paragraph`."""
    wanted = arguments.number(given, "num_paragraphs", 1)
    place = arguments.number(given, "nth_paragraph", 1)
    word = arguments.text(given, "first_word").strip().lower()
    if place > wanted:
        raise ValueError(f"nth_paragraph: expected at most {wanted}, got {place}")

    def check(text: str) -> bool:
        paragraphs = [part.strip() for part in text.split("\n\n") if part.strip()]
        if len(paragraphs) != wanted:
            return False
        first = paragraphs[place - 1].split(maxsplit=1)[0].lstrip("'\"“‘").lower()
        # A word may contain a mark: don't
        return word in (first, first.rstrip(_CLOSING), _CLOSES.split(first, maxsplit=1)[0])

    return check
