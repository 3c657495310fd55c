"""Fields of any type as parquet columns: typed if their values have one type, else JSON.

The types are those of the first batch. A value that its column's type would change or drop is put
into the row's JSON instead, so every row reads back equal.
"""

from collections.abc import Iterable
from typing import Any

import orjson

REST = "qvl"  # the column, or the field of extra_info, for values without a column


def types_of(rows: Iterable[dict], arrow: Any) -> dict[str, Any]:
    """The arrow type of each field whose values all have one type, by field."""
    values: dict[str, list] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None:
                values.setdefault(name, []).append(value)
    found = {}
    for name, given in values.items():
        try:
            kind = arrow.array(given).type
        except (arrow.ArrowInvalid, arrow.ArrowTypeError, OverflowError):
            continue  # several types
        if _can_be_written(kind, arrow):
            found[name] = kind
    return found


def _can_be_written(kind: Any, arrow: Any) -> bool:
    """Whether parquet can hold the type and it fits later rows: not an empty struct or null."""
    if arrow.types.is_struct(kind):
        fields = [kind.field(i).type for i in range(kind.num_fields)]
        return bool(fields) and all(_can_be_written(field, arrow) for field in fields)
    if arrow.types.is_list(kind):
        return _can_be_written(kind.value_type, arrow)
    return not arrow.types.is_null(kind)


def divide(fields: dict, schema: Any, arrow: Any) -> tuple[dict, dict]:
    """Divide `fields` into those that a column of the schema holds exactly, and the rest."""
    types = {column.name: column.type for column in schema}
    held: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in fields.items():
        fits = name in types and value is not None and _fits(value, types[name], arrow)
        (held if fits else rest)[name] = value
    return held, rest


def _fits(value: Any, kind: Any, arrow: Any) -> bool:
    try:
        back = arrow.scalar(value, type=kind).as_py()
    except (arrow.ArrowInvalid, arrow.ArrowTypeError, OverflowError, TypeError, ValueError):
        return False
    return _same(value, back)


def _same(value: Any, back: Any) -> bool:
    """Whether both are equal without the nulls that a struct has for absent fields."""
    return _typed(without_nulls(back)) == _typed(value)


def _typed(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)  # 1 and 1.0, 1 and true differ


def without_nulls(value: Any) -> Any:
    """The value of a column without the nulls in its objects."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


def unpack(text: Any) -> dict | None:
    """The object in the column REST; None if qvl did not write it."""
    if not isinstance(text, str) or not text.startswith('{"record":'):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def pack(record: dict, **more: Any) -> str:
    """The text of the column REST: fields of the record, and `more` to restore them."""
    return orjson.dumps({"record": record, **more}).decode()
