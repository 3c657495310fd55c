"""Curves as text."""

import itertools

import pytest

from qvl.plot.braille import DOTS, Range, around, draw, label, ticks


def dots(lines, height: int) -> set[tuple[int, int]]:
    """The (column, row) of every dot, from the top left."""
    found = set()
    for line, cells in enumerate(lines):
        for column, cell in enumerate(cells):
            mask = ord(cell.letter) - 0x2800 if cell.curve >= 0 else 0
            for row in range(4):
                for side in range(2):
                    if mask & DOTS[row][side]:
                        found.add((2 * column + side, 4 * line + row))
    assert len(lines) == height
    return found


def test_a_straight_line_is_drawn_from_corner_to_corner_without_a_hole():
    found = dots(draw([[(0, 0), (10, 5)]], Range(0, 10), Range(0, 5), 10, 5), 5)
    assert {(0, 19), (19, 0)} <= found
    assert {column for column, _ in found} == set(range(20))
    assert found == {(column, 19 - column) for column in range(20)}


def test_every_curve_has_its_letter_where_there_are_no_dots():
    lines = draw([[(0, 0), (1, 0)], [(0, 1), (1, 1)]], Range(0, 1), Range(0, 1), 6, 3, dots=False)
    assert ["".join(cell.letter for cell in line) for line in lines] == [
        "bbbbbb",
        " " * 6,
        "aaaaaa",
    ]


def test_equal_values_and_a_single_point_are_drawn():
    for points in ([(3, 7.0)], [(1, 7.0), (2, 7.0)], [(1, 0.0)]):
        across, up = around([x for x, _ in points]), around([y for _, y in points])
        assert dots(draw([points], across, up, 4, 2), 2)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.25, 6.3), (-3, 900), (1e-6, 3e-6), (5, 5)])
def test_ticks_are_round_and_within_the_range(low, high):
    found = ticks(Range(low, high), 4)
    assert 1 <= len(found) <= 5
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)
    steps = {round((b - a) / (found[1] - found[0]), 6) for a, b in itertools.pairwise(found)}
    assert steps <= {1.0}


def test_numbers_of_an_axis_are_short():
    numbers = (0, 1, 0.002, 3e-5, 12345, 1234567, 3.2e9, -0.5, 99999, 316)
    assert [label(number) for number in numbers] == [
        *("0", "1", "0.002", "3e-5", "12.35k", "1.235M", "3.2G", "-0.5", "100k", "316"),
    ]
