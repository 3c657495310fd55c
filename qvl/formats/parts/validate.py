"""Check the types in a row, so that a malformed row is an error and never a crash."""

import datetime
from typing import Any

from qvl.formats.context import BYTES, Context


def turns(row: dict, field: str, speaker: str, context: Context) -> list[dict]:
    """row[field] as a list of objects, each with a string under `speaker`."""
    found = row.get(field)
    if found is None:
        raise context.error(f"no {field}")
    if not isinstance(found, list | tuple):
        raise context.error(f"{field} is not a list of turns")
    for turn in found:
        if not isinstance(turn, dict) or not isinstance(turn.get(speaker), str):
            raise context.error(f"a turn of {field} is not an object with {speaker!r}")
    return list(found)


def text(value: Any, what: str, context: Context) -> str:
    """A string; null is an empty one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise context.error(f"{what} is not a string")
    return value


def mapping(value: Any, what: str, context: Context) -> dict:
    """An object; null is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise context.error(f"{what} is not an object")
    return value


def json_value(value: Any, what: str, context: Context) -> Any:
    """The value of a parquet column for JSON: media become files, times strings, NaN null."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        if value.keys() <= {BYTES, "path"} and isinstance(value.get(BYTES), bytes):
            return context.reference(value)
        return {name: json_value(inner, what, context) for name, inner in value.items()}
    if isinstance(value, list):
        return [json_value(inner, what, context) for inner in value]
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date as well
        return value.isoformat()
    context.unsupported(f"{type(value).__name__} in {what}")
    return None
