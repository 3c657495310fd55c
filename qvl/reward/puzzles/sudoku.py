"""Sudoku: any grid that keeps the givens and the rules is right, even if the puzzle has several solutions.

{"kind": "sudoku", "puzzle": "53..7...."} or a list of rows. Empty cells are 0, . or _. Sizes are 4, 6, 9 and
16, with boxes of 2 by 2, 2 by 3, 3 by 3 and 4 by 4 (rows by columns). At size 16 the values are numbers with
spaces between them, or 1 to 9 and A to G. The grid is in the last \\boxed{}, <answer> or code fence, else
in the text after the thinking: rows of values, with or without ruled lines, or JSON. Of several grids the
last counts.
"""

import re
from functools import lru_cache
from typing import Any

from qvl.reward import Unverifiable
from qvl.reward.reading.answer_block import answer_block

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 16: (4, 4)}  # size -> rows and columns of a box
_MOST = 20_000  # characters at the end of an answer that are read: our choice
_RULED = re.compile(r"[|+\u2500-\u257f]|-{2,}")
_TOKEN = re.compile(r"\d+|[A-G]|[._]")
_DIGIT = re.compile(r"[0-9._]")
Grid = tuple[tuple[int, ...], ...]


def share(answer: dict, response: dict) -> float:
    """1 or 0. Unverifiable if the puzzle is not a grid, or breaks the rules itself."""
    givens = _puzzle(str(answer.get("puzzle")), _text(answer.get("puzzle")))
    size = len(givens)
    grid = _last(answer_block(response)[-_MOST:], size)
    if grid is None:
        return 0.0
    kept = all(
        given in (0, value)
        for givens_row, row in zip(givens, grid, strict=True)
        for given, value in zip(givens_row, row, strict=True)
    )
    return float(kept and all(0 not in row for row in grid) and _sound(grid))


def _text(puzzle: Any) -> str:
    """A puzzle as text, one row per line; "" if it is neither a text nor a list."""
    if isinstance(puzzle, list):
        rows = (
            row if isinstance(row, str) else " ".join(map(str, row))
            for row in puzzle
            if isinstance(row, str | list)
        )
        return "\n".join(rows)
    return puzzle if isinstance(puzzle, str) else ""


@lru_cache(maxsize=256)
def _puzzle(shown: str, text: str) -> Grid:
    for size in sorted(BOXES, reverse=True):
        values = _values(text, size)
        if len(values) == size * size:
            grid = _rows(values, size)
            if not _sound(grid):
                raise Unverifiable("answer: puzzle: breaks the rules of sudoku")
            return grid
    raise Unverifiable(f"answer: puzzle: expected a grid of size 4, 6, 9 or 16, got {shown[:80]}")


def _last(text: str, size: int) -> Grid | None:
    """The last grid of a text; None if it has none."""
    lines = [_values(line, size) for line in text.splitlines()]
    rows = [line for line in lines if len(line) == size]
    values = [each for row in rows[-size:] for each in row]
    if len(values) != size * size:
        values = _values(text, size)
    return _rows(values, size) if len(values) == size * size else None


def _values(text: str, size: int) -> list[int]:
    """The values of a text: 0 for an empty cell, -1 for a value above `size`."""
    text = _RULED.sub(" ", text)
    found = (_TOKEN if size > 9 else _DIGIT).findall(text)
    values = [
        0 if each in "._" else int(each, 17) if each.isalpha() else int(each) for each in found
    ]
    return [each if each <= size else -1 for each in values]


def _rows(values: list[int], size: int) -> Grid:
    return tuple(tuple(values[start : start + size]) for start in range(0, size * size, size))


def _sound(grid: Grid) -> bool:
    """Whether no row, column or box has a value twice, except empty cells, or an invalid value."""
    size = len(grid)
    high, wide = BOXES[size]
    boxes = [
        [grid[row + down][column + right] for down in range(high) for right in range(wide)]
        for row in range(0, size, high)
        for column in range(0, size, wide)
    ]
    for group in (*grid, *zip(*grid, strict=True), *boxes):
        filled = [each for each in group if each]
        if len(set(filled)) != len(filled) or min(group) < 0:
            return False
    return True
