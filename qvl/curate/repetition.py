"""Loops and repetition in a text: what is measured, apart from what is too much.

A degenerate model repeats a unit of a few words to the end of its budget; or whole lines; or falls
into text of so few words that it compresses to nothing. All three run at the speed of `str.find`,
of `set` and of zstd. Digits are not folded: a list of boxes differs in nothing else.
"""

import re
from collections import Counter
from typing import NamedTuple

import zstandard

GRAM = 12  # characters; a shorter one recurs by chance
STRIDE = 32  # characters; a loop of 64 with 6 units leaves 41 places where a gram finds its next
MAX_PERIOD = 600  # characters: a paragraph; longer units are found as repeated lines
TAG = re.compile(r"<[^<>]{1,40}>")
SEGMENT = re.compile(r"[\n.!?\u3002\uff01\uff1f;\uff1b]+")
SHORTEST_SEGMENT = 12  # characters; "}", "Yes" and "So" recur in good texts
LETTER = re.compile(r"[^\W\d_]")
SHORTEST_REPEATED = 120  # characters
MARKUP = ("{", "[", "<", "|")  # what lists of boxes and tables begin with: their lines are alike
CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


class Loop(NamedTuple):
    """A stretch of text that repeats one unit."""

    unit: str
    start: int
    length: int  # characters
    wordy: bool  # the unit holds a letter outside tags: no ruler, matrix or empty table

    @property
    def times(self) -> float:
        return self.length / len(self.unit)


def loops(text: str, *, shortest: int, times: int) -> list[Loop]:
    """The stretches of at least `shortest` characters that repeat a unit at least `times` times."""
    found, place, size = [], 0, len(text)
    while place < size - GRAM:
        again = text.find(text[place : place + GRAM], place + 1, place + MAX_PERIOD + GRAM)
        if again < 0:
            place += STRIDE
            continue
        period = again - place
        end = again + _common(text, place, again)
        start = place
        while start > max(0, place - STRIDE) and text[start - 1] == text[start - 1 + period]:
            start -= 1
        length = end - start
        if length >= shortest and length >= times * period:
            unit = text[start : start + period]
            letters = any(map(str.isalpha, TAG.sub("", unit + unit)))
            found.append(Loop(unit, start, length, letters))
            place = end
        else:
            place += STRIDE
    return found


def _common(text: str, one: int, other: int) -> int:
    """How many characters from `one` and from `other` on are the same."""
    size, done, step = len(text), 0, 64
    while text[one + done : one + done + step] == text[other + done : other + done + step]:
        if other + done + step >= size:
            return size - other
        done += step
        step *= 2
    while step > 1:  # the difference lies within the last step: halve it
        step //= 2
        if text[one + done : one + done + step] == text[other + done : other + done + step]:
            done += step
    return done


def repeated_share(text: str) -> tuple[float, str]:
    """The share of the text, code apart, in lines and sentences that stood before, and the one that costs most.

    After Gopher's "duplicate line character fraction" (arXiv 2112.11446, table A1), by sentences. 0 for a
    short text, in which two equal lines are the most of it, and for lists of boxes and tables.
    """
    if len(text) < SHORTEST_REPEATED or text.lstrip()[:1] in MARKUP:
        return 0.0, ""
    prose = CODE.sub("\n", text) if "```" in text else text
    segments = [segment.strip() for segment in SEGMENT.split(prose)]
    long = [one for one in segments if len(one) >= SHORTEST_SEGMENT and LETTER.search(one)]
    if len(set(long)) == len(long):
        return 0.0, ""
    wasted = {one: (n - 1) * len(one) for one, n in Counter(long).items() if n > 1}
    return sum(wasted.values()) / max(1, len(prose)), max(wasted, key=lambda one: wasted[one])


def density(text: str) -> float:
    """Compressed size over size, in bytes: about 0.3 to 0.6 in prose, under 0.1 in a loop."""
    data = text.encode("utf-8", "surrogatepass")
    return len(zstandard.ZstdCompressor(level=1).compress(data)) / max(1, len(data))
