"""When the result of a program equals the expected one.

The program's value comes as JSON of `runner.encode`, and is compared in that form: nothing that a model
wrote is hashed, so no choice of integers is slow. `same` takes O(n log n) for n bytes, but for sets of
up to MAX_MATCHED lists of inexact numbers, and ends at a deadline. The expected value comes from JSON. The rules:

- null, true and false equal themselves only; a boolean is no number.
- An expected integer equals the same integer, and a float within 1e-6 of it, in exact arithmetic.
- An expected number with a point or an exponent equals numbers within 1e-6, relative; or absolute, if
  the expected result holds a number of at least 0.001, or zeros alone. NaN equals NaN.
- A string equals the same string only.
- A list equals a list, tuple or range of equal items in this order.
- A list equals a set of as many items, each of which equals another item of the list.
- An object equals a dict with as many keys, which are the object's as JSON writes them: 1 is "1", True is
  "true", None is "null". A tuple of those is written as in Python. Two keys that are written alike equal
  no object.
- Bytes and complex numbers equal nothing.
"""

import json
import math
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

TOLERANCE = 1e-6  # our choice
SMALL = 1e-3  # below, an absolute tolerance of 1e-6 would make different numbers equal; our choice
MAX_MATCHED = 200  # items of a set that are tried in every order
SECONDS = 10.0  # of processor time, for the comparison of one result: our choice
MIN_BYTES = 1 << 16  # of an encoded value: always allowed
MAX_RATIO = 32  # of the bytes of an encoded value to those of an equal one as JSON
_FLOAT_BITS = 1023  # of an integer that any float can be near


class TooSlow(Exception):
    """A comparison did not end in time."""


def too_long(line: bytes, expected: Any) -> bool:
    """Whether an encoded value takes more bytes than any that equals the expected one."""
    return len(line) > MIN_BYTES and len(line) > MAX_RATIO * len(json.dumps(expected))


def same(value: Any, expected: Any, seconds: float = SECONDS) -> bool:
    """Whether an encoded value equals an expected one; see the rules above.

    ValueError, TypeError, KeyError, OverflowError or RecursionError for what `encode` never returns;
    TooSlow after `seconds` of processor time.
    """
    return _Comparison(expected, time.thread_time() + seconds).same(value, expected)


class _Comparison:
    def __init__(self, expected: Any, deadline: float) -> None:
        largest = max((abs(number) for number in _numbers(expected)), default=0)
        self.absolute = 0.0 if 0 < largest < SMALL else TOLERANCE
        self.deadline = deadline

    def same(self, value: Any, expected: Any) -> bool:
        if value is None or expected is None or _is_bool(value) or _is_bool(expected):
            return value is expected
        if isinstance(value, str) or isinstance(expected, str):
            return type(value) is type(expected) and value == expected
        number = _number(value)
        if number is not None:
            return isinstance(expected, int | float) and self._same_number(number, expected)
        if time.thread_time() > self.deadline:
            raise TooSlow
        kind, items = _only(value)
        if kind == "dict":
            return isinstance(expected, dict) and self._same_object(items, expected)
        if not isinstance(expected, list):
            return False
        if kind == "range":
            span = range(*items)
            # A length beyond that of a C integer is an OverflowError.
            return len(span) == len(expected) and all(map(self.same, span, expected))
        if kind in ("list", "tuple"):
            return len(items) == len(expected) and all(map(self.same, items, expected))
        if kind in ("set", "frozenset"):
            return len(items) == len(expected) and self._same_items(items, expected)
        return False

    def _same_number(self, value: float, expected: float) -> bool:
        if value == expected:
            return True
        if isinstance(expected, int):
            if isinstance(value, int) or not math.isfinite(value):
                return False
            return abs(Fraction(value) - expected) <= TOLERANCE
        if isinstance(value, int) and value.bit_length() > _FLOAT_BITS:
            return False  # and isclose would raise OverflowError
        if math.isnan(expected):
            return math.isnan(value)
        return math.isclose(value, expected, rel_tol=TOLERANCE, abs_tol=self.absolute)

    def _same_object(self, pairs: list, expected: dict) -> bool:
        if len(pairs) != len(expected):
            return False
        found = sorted(((_spelt(key), item) for key, item in pairs), key=lambda pair: pair[0])
        return all(
            name == other and self.same(item, expected[other])
            for (name, item), other in zip(found, sorted(expected), strict=True)
        )

    def _same_items(self, items: list, expected: list) -> bool:
        """Whether each item equals another one of the expected items."""
        ours = sorted(items, key=_order)
        theirs = sorted(expected, key=lambda item: _order(_encoded(item)))
        if all(map(self.same, ours, theirs)):
            return True
        # Numbers within the tolerance can change the order of the lists that hold them.
        if len(items) > MAX_MATCHED or not any(
            isinstance(number, float) for number in _numbers(expected)
        ):
            return False
        return self._matched(ours, theirs)

    def _matched(self, ours: list, theirs: list) -> bool:
        """Whether the items can be paired with equal ones, by augmenting paths (Kuhn)."""
        equal = [
            [place for place, other in enumerate(theirs) if self.same(item, other)] for item in ours
        ]
        partner: dict[int, int] = {}

        def finds(item: int, seen: set[int]) -> bool:
            for place in equal[item]:
                if place not in seen:
                    seen.add(place)
                    if place not in partner or finds(partner[place], seen):
                        partner[place] = item
                        return True
            return False

        return all(finds(item, set()) for item in range(len(ours)))


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> int | float | None:
    """The number that an encoded value is; None for any other."""
    if isinstance(value, int | float):
        return value
    kind, content = _only(value)
    return int(content, 16) if kind == "int" else None


def _only(value: Any) -> tuple[str, Any]:
    """The kind and content of an encoded value other than a scalar. ValueError if it is none."""
    if not isinstance(value, dict):
        raise ValueError(f"a {type(value).__name__} is no encoded value")
    ((kind, content),) = value.items()
    return kind, content


def _numbers(expected: Any) -> Iterator[float]:
    """All finite numbers in a value from JSON."""
    if isinstance(expected, list | dict):
        for item in expected.values() if isinstance(expected, dict) else expected:
            yield from _numbers(item)
    elif isinstance(expected, int | float) and not _is_bool(expected) and math.isfinite(expected):
        yield expected


def _spelt(key: Any) -> str:
    """A key of a dict as JSON writes it; a tuple of plain keys as Python does."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, int | float):
        return json.dumps(key)
    kind, content = _only(key)
    if kind == "int":
        return str(int(content, 16))
    if kind == "tuple" and all(
        item is None or isinstance(item, str | int | float) for item in content
    ):
        return repr(tuple(content))
    raise ValueError(f"a key of kind {kind}")


def _encoded(expected: Any) -> Any:
    """A value from JSON, as `runner.encode` writes it."""
    if isinstance(expected, list):
        return {"list": [_encoded(item) for item in expected]}
    if isinstance(expected, dict):
        return {"dict": [[key, _encoded(item)] for key, item in expected.items()]}
    return expected


def _order(value: Any) -> tuple:
    """A key that orders encoded values; equal values have equal keys, but for the tolerance."""
    if value is None:
        return (0,)
    if isinstance(value, str):
        return (4, value)
    if _is_bool(value):
        return (1, value)
    number = _number(value)
    if number is not None:
        return (3,) if number != number else (2, number)
    kind, content = _only(value)
    if kind == "dict":
        return (6, sorted((_spelt(key), _order(item)) for key, item in content))
    if kind == "range":  # it may be longer than all that was returned
        raise ValueError("a range in a set")
    items = [_order(item) for item in content]
    return (5, sorted(items) if kind in ("set", "frozenset") else items)


def shown(value: Any, limit: int) -> str:
    """An encoded value as Python writes it, about `limit` characters of it."""
    pieces, length = [], 0
    for piece in _pieces(value):
        pieces.append(piece)
        length += len(piece)
        if length > limit:
            break
    return "".join(pieces)


_BRACKETS = {"list": "[]", "tuple": "()", "set": "{}", "dict": "{}"}


def _pieces(value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        yield repr(value)
        return
    kind, content = _only(value)
    if kind not in _BRACKETS:
        yield f"{kind}({content!r:.200})"
        return
    opening, closing = _BRACKETS[kind]
    yield opening
    for place, item in enumerate(content):
        yield ", " if place else ""
        if kind == "dict":
            key, item = item
            yield from _pieces(key)
            yield ": "
        yield from _pieces(item)
    yield closing
