"""Mazes: any path from the start to the goal that crosses no wall is right.

{"kind": "maze", "maze": ["#####", "#S.G#", "#####"]}: # is a wall, S the start, G the goal, anything else is
free; "shortest": true accepts shortest paths only. The path is in the last \\boxed{}, <answer> or code fence,
else in the text after the thinking. It is the last line of steps (up, down, left, right; U D L R; N S W E;
arrows), or a list of cells (row, column) counted from 0, with or without the start. It must end on the goal
and not visit it before.
"""

import re
from collections import deque
from functools import lru_cache
from typing import NamedTuple

from qvl.reward import Unverifiable
from qvl.reward.reading.answer_block import answer_block

Cell = tuple[int, int]
STEPS: dict[str, Cell] = {
    **dict.fromkeys(("up", "u", "n", "north", "↑"), (-1, 0)),
    **dict.fromkeys(("down", "d", "s", "south", "↓"), (1, 0)),
    **dict.fromkeys(("left", "l", "w", "west", "←"), (0, -1)),
    **dict.fromkeys(("right", "r", "e", "east", "→"), (0, 1)),
}
_MOST = 50_000  # characters at the end of an answer that are read: our choice
_CELL = re.compile(r"[(\[]\s*(\d{1,4})\s*,\s*(\d{1,4})\s*[)\]]")
_WORD = re.compile(r"[a-z]+|[\u2190-\u2193]")


class _Maze(NamedTuple):
    rows: tuple[str, ...]
    start: Cell
    goal: Cell
    shortest: int | None
    """The number of steps of a shortest path, if one is required."""


def share(answer: dict, response: dict) -> float:
    """1 or 0. Unverifiable unless the maze has one start, one goal, and a path between them."""
    rows = answer.get("maze")
    if isinstance(rows, str):
        rows = rows.strip("\n").split("\n")
    if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
        raise Unverifiable("answer: maze: expected a list of rows")
    maze = _maze(tuple(rows), answer.get("shortest") is True)
    path = _path(answer_block(response)[-_MOST:].lower(), maze)
    if not path or path[-1] != maze.goal or maze.goal in path[:-1]:
        return 0.0
    if not all(_free(maze.rows, cell) for cell in path):
        return 0.0
    return float(maze.shortest is None or len(path) == maze.shortest)


@lru_cache(maxsize=256)
def _maze(rows: tuple[str, ...], shortest: bool) -> _Maze:
    places = {
        mark: [(y, x) for y, row in enumerate(rows) for x, cell in enumerate(row) if cell == mark]
        for mark in "SG"
    }
    if any(len(found) != 1 for found in places.values()):
        raise Unverifiable("answer: maze: expected one S and one G")
    start, goal = places["S"][0], places["G"][0]
    steps = _distance(rows, start, goal)
    if steps is None:
        raise Unverifiable("answer: maze: no path leads from S to G")
    return _Maze(rows, start, goal, steps if shortest else None)


def _distance(rows: tuple[str, ...], start: Cell, goal: Cell) -> int | None:
    """The number of steps of a shortest path; None if there is none."""
    seen, waiting = {start}, deque([(start, 0)])
    while waiting:
        cell, steps = waiting.popleft()
        if cell == goal:
            return steps
        for down, right in {*STEPS.values()}:
            other = (cell[0] + down, cell[1] + right)
            if other not in seen and _free(rows, other):
                seen.add(other)
                waiting.append((other, steps + 1))
    return None


def _free(rows: tuple[str, ...], cell: Cell) -> bool:
    y, x = cell
    return 0 <= y < len(rows) and 0 <= x < len(rows[y]) and rows[y][x] != "#"


def _path(text: str, maze: _Maze) -> list[Cell]:
    """The cells of a path in a text, without the start; [] if it has none."""
    cells = [(int(y), int(x)) for y, x in _CELL.findall(text)]
    if cells:
        return _joined(cells[1:] if cells[0] == maze.start else cells, maze.start)
    for line in reversed(text.splitlines()):
        steps = _steps(line)
        if steps:
            cell, path = maze.start, []
            for down, right in steps:
                cell = (cell[0] + down, cell[1] + right)
                path.append(cell)
            return path
    return []


def _joined(cells: list[Cell], start: Cell) -> list[Cell]:
    """The cells, if each is next to the one before it; else []."""
    for (y, x), (other_y, other_x) in zip([start, *cells], cells, strict=False):
        if abs(y - other_y) + abs(x - other_x) != 1:
            return []
    return cells


def _steps(line: str) -> list[Cell]:
    """The steps of a line; text before a colon is ignored, and [] is returned if other text is left."""
    line = line.rpartition(":")[2]
    words = _WORD.findall(line)
    if words and all(word in STEPS for word in words):
        return [STEPS[word] for word in words]
    (only, *others) = words or [""]
    if only and not others and set(only) <= set("udlr"):  # UDLR without spaces
        return [STEPS[letter] for letter in only]
    return []
