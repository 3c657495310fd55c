"""Fields of all kinds as parquet columns: typed where their values have one type, else JSON.

The types are those of the first batch. A value that its column's type would change or drop goes into
the row's JSON instead, so what is read back is equal, whatever the rows hold.
"""

from collections.abc import Iterable
from typing import Any

import orjson

KEPT = "qvl"  # the column, or the field of extra_info, of what has no column


def types_of(rows: Iterable[dict], arrow: Any) -> dict[str, Any]:
    """field -> the arrow type that all its values have; fields without one are left out."""
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
            continue  # of several types
        if _can_be_written(kind, arrow):
            found[name] = kind
    return found


def _can_be_written(kind: Any, arrow: Any) -> bool:
    """Parquet has no struct without fields, and a null type says nothing of later rows."""
    if arrow.types.is_struct(kind):
        fields = [kind.field(i).type for i in range(kind.num_fields)]
        return bool(fields) and all(_can_be_written(field, arrow) for field in fields)
    if arrow.types.is_list(kind):
        return _can_be_written(kind.value_type, arrow)
    return not arrow.types.is_null(kind)


def divide(fields: dict, types: dict[str, Any], arrow: Any) -> tuple[dict, dict]:
    """`fields` as those that their columns hold exactly, and the rest."""
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
    """Equal once `filled` has taken out the nulls that a struct puts where a field is absent."""
    return _typed(filled(back)) == _typed(value)


def _typed(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)  # 1 and 1.0, 1 and true differ


def filled(value: Any) -> Any:
    """A value of a column without the nulls in its objects."""
    if isinstance(value, dict):
        return {name: filled(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [filled(inner) for inner in value]
    return value


def unpack(text: Any) -> dict | None:
    """The object that KEPT holds; None where it is none of ours."""
    if not isinstance(text, str) or not text.startswith('{"record":'):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def pack(record: dict, **more: Any) -> str:
    """KEPT: fields of the record, and what else brings them back."""
    return orjson.dumps({"record": record, **more}).decode()
