"""Zebra puzzles: who lives in which house, as a table of houses and their attributes.

{"kind": "zebra", "solution": {"House 1": {"Name": "Eric", "Pet": "cat"}, ...}}, or {"header": ["House",
"Name", "Pet"], "rows": [["1", "Eric", "cat"], ...]}. The response has a JSON object of either shape, in the
last \\boxed{}, <answer> or code fence or between the first brace and the last; or a Markdown table whose
first column names the houses. Case, spaces and the word House are ignored. The score is the share of right
cells. Extra houses and attributes are ignored, and a cell that names two values is wrong.
"""

import json
from functools import lru_cache
from typing import Any

from qvl.reward import Unverifiable
from qvl.reward.reading.answer_block import answer_block
from qvl.reward.verifiers.exact import normal
from qvl.text.thinking import answer_text

Table = dict[tuple[str, str], str]
"""(house, attribute) -> value, all normalized"""
_MOST = 50_000  # characters of an answer that are read: our choice


def share(answer: dict, response: dict) -> float:
    """The share of right cells, from 0 to 1. Unverifiable if the solution is not a table."""
    wanted = _wanted(json.dumps(answer.get("solution")))
    found = _found(response)
    return sum(found.get(cell) == value for cell, value in wanted.items()) / len(wanted)


@lru_cache(maxsize=256)
def _wanted(solution: str) -> Table:
    table = _table(json.loads(solution))
    if not table:
        raise Unverifiable("answer: solution: expected a table of houses")
    return table


def _found(response: dict) -> Table:
    """The table of a response; {} if it has none."""
    text = answer_block(response)
    for source in (text, answer_text(response)):
        begin, end = source.find("{"), source.rfind("}")
        if 0 <= begin < end <= begin + _MOST:
            try:
                return _table(json.loads(source[begin : end + 1]))
            except (ValueError, RecursionError):
                continue
    return _markdown(text[-_MOST:])


def _table(value: Any) -> Table:
    """The cells of a table in either shape; {} for any other value."""
    if not isinstance(value, dict):
        return {}
    if "solution" in value and isinstance(value["solution"], dict):
        value = value["solution"]
    header, rows = value.get("header"), value.get("rows")
    if isinstance(header, list) and isinstance(rows, list):
        return _cells(header, rows)
    return {
        (_house(house), normal(str(name))): normal(str(cell))
        for house, row in value.items()
        if isinstance(row, dict)
        for name, cell in row.items()
        if isinstance(cell, str | int | float)
    }


def _cells(header: list, rows: list) -> Table:
    return {
        (_house(row[0]), normal(str(name))): normal(str(cell))
        for row in rows
        if isinstance(row, list) and len(row) == len(header) > 1
        for name, cell in zip(header[1:], row[1:], strict=True)
    }


def _markdown(text: str) -> Table:
    rows = [
        [cell.strip().strip("*") for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line.count("|") > 1 and not set(line) <= set("|-: ")
    ]
    return _cells(rows[0], rows[1:]) if rows else {}


def _house(name: Any) -> str:
    return normal(str(name)).removeprefix("house").strip(" #_")
