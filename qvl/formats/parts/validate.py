"""Rows come from anywhere: what is not of the shape that a format promises is named, never a crash."""

import datetime
from typing import Any

from qvl.formats.context import BYTES, Trade


def turns(row: dict, field: str, speaker: str, trade: Trade) -> list[dict]:
    """row[field] as a list of objects, each with a string under `speaker`."""
    found = row.get(field)
    if found is None:
        raise trade.wrong(f"no {field}")
    if not isinstance(found, list | tuple):
        raise trade.wrong(f"{field} is no list of turns")
    for turn in found:
        if not isinstance(turn, dict) or not isinstance(turn.get(speaker), str):
            raise trade.wrong(f"a turn of {field} is no object with {speaker!r}")
    return list(found)


def text(value: Any, what: str, trade: Trade) -> str:
    """A text; none is an empty one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise trade.wrong(f"{what} is no text")
    return value


def mapping(value: Any, what: str, trade: Trade) -> dict:
    """An object; none is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise trade.wrong(f"{what} is no object")
    return value


def plain(value: Any, what: str, trade: Trade) -> Any:
    """A value of a parquet column as JSON has it: media become files, times text, NaN null."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        if value.keys() <= {BYTES, "path"} and isinstance(value.get(BYTES), bytes):
            return trade.reference(value)
        return {name: plain(inner, what, trade) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner, what, trade) for inner in value]
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date as well
        return value.isoformat()
    trade.lose(f"{type(value).__name__} in {what}")
    return None
