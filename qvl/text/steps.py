"""Steps: sentences of one shape that each say something new, as "We get 2^5 = 32." and "We get 2^6 = 64." do.

They repeat most of their words, yet a worked answer needs them. Sentences of the same number of words, half of
them equal, have one shape; the other words are its slots. They are steps if more changes than a counter: "Step 7:
let us go on." says no more than "Step 6: let us go on." A long list must also change more in each step, as a loop
can draw a number in each round. No rule that reads no meaning tells a short one from steps; we keep it.
"""

import functools
import itertools
import re
from collections import Counter
from typing import NamedTuple

MAX_STEPS = (
    12  # of one shape, of which any change is enough; our choice: a longer list is often a loop
)
MIN_CHANGED = 0.04  # of the letters and digits, in each step of a longer list
# A loop that draws a number of two digits in each sentence of 15 words changes 0.025; a table of interest 0.1.
MAX_SHAPES = (
    32  # of one number of words, so that a text of many shapes takes no time quadratic in them
)
WEIGHT = 3  # letters of an alphabet that a character of a script without spaces is worth
_UNSPACED = r"\u3041-\u30fa\u3400-\u9fff\u0e01-\u0e4e"
UNSPACED = re.compile(f"[{_UNSPACED}]")
UNSPACED_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
SENTENCE = re.compile(
    r"(?:[^\n.!?;。！？；।]|[.!?;](?=\S))+[.!?;。！？；।\n]*\s*|[\n.!?;。！？；।]+\s*"
)
NUMBER = re.compile(r"\d+")


class Part(NamedTuple):
    """A sentence of a text, with the space after it."""

    text: str
    words: list[str]
    step: bool  # it belongs to a step


def words(text: str, *, unspaced: bool) -> list[str]:
    """The words of a text, between spaces; `unspaced`: its characters without spaces and the other words."""
    return UNSPACED_TOKEN.findall(text) if unspaced else text.split()


def is_unspaced(text: str) -> bool:
    """Whether a text has a script without spaces."""
    return not text.isascii() and UNSPACED.search(text) is not None


@functools.lru_cache(maxsize=4)  # two measures read the same answer
def parts(prose: str) -> tuple[Part, ...]:
    """The sentences of a text, in order and complete."""
    sentences = SENTENCE.findall(prose)
    unspaced = is_unspaced(prose)
    found = [words(one, unspaced=unspaced) for one in sentences]
    marked = [False] * len(sentences)
    for starts in ([*range(len(sentences))], _starts(sentences)):
        spans = list(itertools.pairwise([*starts, len(sentences)]))
        units = [list(itertools.chain(*found[start:end])) for start, end in spans]
        for start, end in map(spans.__getitem__, _steps(units)):
            marked[start:end] = [True] * (end - start)
    return tuple(map(Part._make, zip(sentences, found, marked, strict=True)))


def _starts(sentences: list[str]) -> list[int]:
    """Where steps of several sentences start: at the sentence that recurs the most, whatever its numbers."""
    folded = [NUMBER.sub("0", one.strip()) for one in sentences]
    counts = Counter(one for one in folded if one)
    if not counts:
        return []
    ((most, _),) = counts.most_common(1)
    return [place for place, one in enumerate(folded) if one == most]


def _steps(units: list[list[str]]) -> list[int]:
    """The places of the units that are steps."""
    shapes: dict[int, list[list[int]]] = {}
    for place, unit in enumerate(units):
        if not unit:
            continue
        same_length = shapes.setdefault(len(unit), [])
        for shape in same_length:
            first = units[shape[0]]
            if 2 * sum(map(str.__eq__, first, unit)) >= len(unit):
                shape.append(place)
                break
        else:
            if len(same_length) < MAX_SHAPES:
                same_length.append([place])
    found = []
    for shapes_of_length in shapes.values():
        for shape in shapes_of_length:
            found += _new(shape, units)
    return found


def _new(shape: list[int], units: list[list[str]]) -> list[int]:
    """The places of a shape's distinct units; none if too little changes."""
    distinct = {tuple(units[place]): place for place in reversed(shape)}
    if len(distinct) < 2:
        return []
    rows = sorted(distinct, key=lambda row: distinct[row])
    changed = 0
    for column in zip(*rows, strict=True):
        ((usual, _),) = Counter(column).most_common(1)
        if len(set(column)) > 1 and not _counts(column):
            changed += sum(_length(value) for value in column if value != usual)
    least = MIN_CHANGED * sum(_length(value) for row in rows for value in row)
    enough = changed >= least if len(rows) > MAX_STEPS else changed > 0
    return list(distinct.values()) if enough else []


def _length(token: str) -> int:
    return WEIGHT if UNSPACED.match(token) else sum(map(str.isalnum, token))


def _counts(column: tuple[str, ...]) -> bool:
    """Whether a slot holds a counter: most of its values are one more, or one less, than the value before."""
    values = [NUMBER.search(value) for value in column]
    if not all(values):
        return False
    numbers = [int(value.group()[:18]) for value in values if value]
    steps = Counter(b - a for a, b in itertools.pairwise(numbers))
    return 2 * max(steps[1], steps[-1]) > len(column) - 1
