"""Loops and repetition in a text: a measure of each, and `excess`, which applies thresholds to them all.

A degenerate model repeats a few words until its token limit, or repeats whole lines, or uses few distinct
words, so that the text compresses well. The measures run at the speed of `str.find`, `set` and zstd.
Digits are not folded, as the entries of a list of boxes differ in nothing else. Sentences of the same shape that
each say something new (qvl.text.steps) do not count as repeated.
"""

import itertools
import re
import threading
from collections import Counter
from typing import NamedTuple

import zstandard

from qvl.text import steps

LOOP_TIMES = 6
LOOP_CHARS = 64
MAX_REPEATED = 0.4
MIN_DENSITY = 0.08
MAX_GRAMS = 0.5
GRAM = 12  # characters; a shorter one recurs by chance
STRIDE = 32  # characters; a loop of 64 with 6 units leaves 41 places where a gram finds its next
MAX_PERIOD = 600  # characters: a paragraph; longer units are found as repeated lines
TAG = re.compile(r"<[^<>]{1,40}>")
SEGMENT = re.compile(r"[\n.!?。！？;；]+")
SHORTEST_SEGMENT = 12  # characters; "}", "Yes" and "So" recur in good texts
LETTER = re.compile(r"[^\W\d_]")
SHORTEST_REPEATED = 120  # characters
MARKUP = ("{", "[", "<", "|")  # what lists of boxes and tables begin with: their lines are alike
SHORTEST_GRAMS = 240  # characters
WORDS_OF_A_GRAM = 6
CHARACTERS_OF_A_GRAM = 10
MARKED_LINE = re.compile(r"^[ \t]*[{\[<|].*$", re.MULTILINE)
CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)


class Loop(NamedTuple):
    """A stretch of text that repeats one unit."""

    unit: str
    start: int
    length: int  # characters
    wordy: bool  # the unit has a letter outside tags, so it is no ruler, matrix or empty table

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
    """The number of equal characters from `one` and from `other` on."""
    size, done, step = len(text), 0, 64
    while text[one + done : one + done + step] == text[other + done : other + done + step]:
        if other + done + step >= size:
            return size - other
        done += step
        step *= 2
    while step > 1:  # the difference is within the last step: halve it
        step //= 2
        if text[one + done : one + done + step] == text[other + done : other + done + step]:
            done += step
    return done


def repeated_share(text: str) -> tuple[float, str]:
    """The share of a text, without code, in repeated lines and sentences, and the one with the most characters.

    After Gopher's "duplicate line character fraction" (arXiv 2112.11446, table A1), by sentences. 0 for a
    short text, of which two equal lines are a large part, and for lists of boxes and tables.
    """
    if len(text) < SHORTEST_REPEATED or text.lstrip()[:1] in MARKUP:
        return 0.0, ""
    prose = CODE.sub("\n", text) if "```" in text else text
    stripped = list(map(str.strip, SEGMENT.split(prose)))
    if len(set(stripped)) == len(stripped) or not _repeated(_segments(prose)):
        return 0.0, ""
    counts = _repeated(
        [one for part in steps.parts(prose) if not part.step for one in _segments(part.text)]
    )
    if not counts:
        return 0.0, ""
    wasted = {one: (n - 1) * len(one) for one, n in counts.items()}
    return sum(wasted.values()) / max(1, len(prose)), max(wasted, key=lambda one: wasted[one])


def _segments(prose: str) -> list[str]:
    """The lines and sentences of a text that are long enough to count."""
    segments = [segment.strip() for segment in SEGMENT.split(prose)]
    return [one for one in segments if len(one) >= SHORTEST_SEGMENT and LETTER.search(one)]


def _repeated(segments: list[str]) -> dict[str, int]:
    """Segment -> number of times, of those that occur more than once."""
    if len(set(segments)) == len(segments):
        return {}
    return {one: n for one, n in Counter(segments).items() if n > 1}


def repeated_grams(text: str, above: float = 0.0) -> float:
    """The share of words, without code and tables, in repeated runs of WORDS_OF_A_GRAM words.

    After Gopher's "duplicate n-gram character fraction" (arXiv 2112.11446, table A1), for all lengths at
    once. It finds text that recurs with another number or name in it, whose sentences are not equal. In scripts
    without spaces the runs are of CHARACTERS_OF_A_GRAM characters. A share that can only be `above` or less is not
    counted and given as 0.
    """
    if len(text) < SHORTEST_GRAMS:
        return 0.0
    prose = CODE.sub("\n", text) if "```" in text else text
    if "|" in prose or "{" in prose:
        prose = MARKED_LINE.sub("", prose)
    unspaced = steps.is_unspaced(prose)
    size = CHARACTERS_OF_A_GRAM if unspaced else WORDS_OF_A_GRAM
    tokens = steps.words(prose, unspaced=unspaced)
    if _can_only_repeat(tokens, size, unspaced=unspaced) <= above * len(tokens):
        return 0.0
    grams = _grams(tokens, size)
    if len(set(grams)) == len(grams):
        return 0.0
    parts = steps.parts(prose)
    tokens = [word for part in parts for word in part.words]
    in_steps = [part.step for part in parts for _ in part.words]
    seen, covered = set(), bytearray(len(tokens))
    for place, gram in enumerate(_grams(tokens, size)):
        if gram in seen and LETTER.search("".join(gram)):
            covered[place : place + size] = b"\1" * size
        seen.add(gram)
    repeated = sum(
        is_covered and not step for is_covered, step in zip(covered, in_steps, strict=True)
    )
    return repeated / len(tokens)


def _can_only_repeat(tokens: list[str], size: int, *, unspaced: bool) -> float:
    """The most tokens that repeated runs can hold: in them no word, and no pair of characters, is new."""
    if not unspaced:
        return len(tokens) - len(set(tokens))
    pairs = set(itertools.pairwise(tokens))
    return (len(tokens) - 1 - len(pairs)) * size / (size - 1)


def _grams(tokens: list[str], size: int) -> list[tuple[str, ...]]:
    return list(zip(*(tokens[start:] for start in range(size)), strict=False))


def density(text: str) -> float:
    """Ratio of compressed size to size, in bytes: about 0.3 to 0.6 in prose, under 0.1 in a loop."""
    data = text.encode("utf-8", "surrogatepass")
    return len(_compressor().compress(data)) / max(1, len(data))


_local = threading.local()


def _compressor() -> zstandard.ZstdCompressor:
    """One per thread: making one takes longer than to compress a short text."""
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=1)
    return _local.compressor


def excess(
    text: str,
    *,
    loop_times: int = LOOP_TIMES,
    loop_chars: int = LOOP_CHARS,
    max_repeated: float = MAX_REPEATED,
    min_density: float = MIN_DENSITY,
    max_grams: float = MAX_GRAMS,
) -> tuple[float, str]:
    """How much of a text repeats, from 0 to 1 (1 for a loop), and a description; 0 and "" within the
    thresholds, which ResponseRules describes."""
    for loop in loops(text, shortest=loop_chars, times=loop_times):
        at_end = loop.start + loop.length >= len(text.rstrip()) - len(loop.unit)
        factor = 1 if loop.wordy else 4 if RULER.issuperset(loop.unit) else 2
        least = loop_chars * (1 if at_end else 2) * factor
        if loop.length >= least:
            return 1.0, f"{loop.times:.0f} times {loop.unit.strip()[:40]!r}"
    share, segment = repeated_share(text)
    if share > max_repeated:
        return share, f"{share:.2f} of the text is repeated, such as {segment[:40]!r}"
    grams = repeated_grams(text, max_grams)
    if grams > max_grams:
        return grams, f"{grams:.2f} of the words are in repeated runs"
    if len(text) >= SHORTEST_DENSE and text.lstrip()[:1] not in MARKUP:
        dense = density(text)
        if dense < min_density:
            return 1.0, f"compresses to {dense:.3f}"
    return 0.0, ""


RULER = frozenset("-=_*#.,~+|:<>()[]{} \t\n0123456789")  # characters of rulers, tables and matrices
SHORTEST_DENSE = 1000  # characters; a shorter text does not compress to 0.08 even in a loop
