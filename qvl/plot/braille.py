"""Curves as text. A character of the Braille block has 2 x 4 dots, so a chart of 60 x 12 characters has
120 x 48 points.

Why not plotext, which does this and more: its version 6 has other names for everything than version 5,
and either would be a package for the one thing that is written here.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

BLANK = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column of a character
LETTERS = "abcdefghijklmnopqrstuvwxyz"
Points = Sequence[tuple[float, float]]


class Range(NamedTuple):
    low: float
    high: float

    def share(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5


class Cell(NamedTuple):
    letter: str
    curve: int
    """The number of the curve that is drawn there, or -1."""


def around(values: Sequence[float]) -> Range:
    """The range of some numbers; of equal ones, a little around them."""
    low, high = min(values), max(values)
    if low == high:
        space = abs(low) * 0.1 or 1.0
        return Range(low - space, high + space)
    return Range(low, high)


def draw(
    curves: Sequence[Points],
    across: Range,
    up: Range,
    width: int,
    height: int,
    *,
    dots: bool = True,
) -> list[list[Cell]]:
    """Lines of `width` cells, the top one first. A cell has the colour of the last curve in it.

    dots: with Braille; else with a letter per curve, which needs neither colour nor UTF-8.
    """
    columns, rows = (2 * width, 4 * height) if dots else (width, height)
    masks = [[0] * width for _ in range(height)]
    owners = [[-1] * width for _ in range(height)]
    for number, points in enumerate(curves):
        for x, y in _path(points, across, up, columns, rows):
            line, cell = (y // 4, x // 2) if dots else (y, x)
            owners[line][cell] = number
            if dots:
                masks[line][cell] |= DOTS[y % 4][x % 2]
    return [
        [_cell(mask, owner, dots) for mask, owner in zip(line, owned, strict=True)]
        for line, owned in zip(masks, owners, strict=True)
    ]


def _cell(mask: int, owner: int, dots: bool) -> Cell:
    if owner < 0:
        return Cell(" ", -1)
    return Cell(chr(BLANK + mask) if dots else LETTERS[owner % len(LETTERS)], owner)


def _path(
    points: Points, across: Range, up: Range, columns: int, rows: int
) -> list[tuple[int, int]]:
    """The dots of the lines between points, (column, row) from the top left."""
    places = [
        (
            round(across.share(x) * (columns - 1)),
            round((1 - up.share(min(max(y, up.low), up.high))) * (rows - 1)),
        )
        for x, y in points
    ]
    found = places[:1]
    for (x, y), (next_x, next_y) in itertools.pairwise(places):
        count = max(abs(next_x - x), abs(next_y - y))
        for step in range(1, count + 1):
            found.append(
                (x + round((next_x - x) * step / count), y + round((next_y - y) * step / count))
            )
    return found


def ticks(up: Range, count: int) -> list[float]:
    """Round numbers within a range, about `count` of them."""
    span = up.high - up.low
    if span <= 0 or count < 1:
        return [up.low]
    size = 10 ** math.floor(math.log10(span / count))
    step = next(
        (size * factor for factor in (1, 2, 5, 10) if span / (size * factor) <= count), size * 10
    )
    first = math.ceil(up.low / step - 1e-9)
    found = [n * step for n in range(first, math.floor(up.high / step + 1e-9) + 1)]
    return found or [up.low]


def label(number: float) -> str:
    """A number of an axis, in at most 7 characters."""
    size = abs(number)
    if number and (size < 0.001 or size >= 1e12):
        return f"{number:.0e}".replace("e-0", "e-").replace("e+", "e")
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            scale = 1e3 if unit == "k" else limit
            return f"{number / scale:.4g}{unit}"
    return f"{number:.4g}"
