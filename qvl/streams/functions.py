"""The operators and functions of the expression language: what `len(answer)` or `a < b` computes.

Values are JSON's. A missing field is null. Equality of unlike types is false. An order (<, <=, >,
>=) exists between two numbers or two strings; any other is false, counted where none is null.
"""

import functools
import json
import math
import operator
import re
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import orjson

from qvl import record as records
from qvl.errors import UserError

MATCH_SECONDS = 1.0  # per text; a pattern that takes longer backtracks without end

KINDS = {bool: "boolean", int: "number", float: "number", str: "string"}
KINDS |= {list: "list", dict: "object", type(None): "null"}


class Slow(UserError):
    """A pattern ran out of time on a text."""


def to_json(value: Any, *, sort_keys: bool = False) -> str:
    """A value as JSON, also where a number that was computed is beyond 64 bits."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else None).decode()
    except TypeError:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=sort_keys)


def equal(left: Any, right: Any) -> bool:
    """As in JSON: true is not 1, and 1 is 1.0."""
    if type(left) is not type(right) and KINDS[type(left)] != KINDS[type(right)]:
        return False
    return left == right


class Unlike:
    """Counts the comparisons of values that have no order or no membership between them."""

    def __init__(self) -> None:
        self.count = 0

    def ordered(self, compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
        def compared(left: Any, right: Any) -> bool:
            kind = KINDS[type(left)]
            if kind == KINDS[type(right)] and kind in ("number", "string"):
                return compare(left, right)
            if left is not None and right is not None:
                self.count += 1
            return False

        return compared

    def contained(self, item: Any, container: Any) -> bool:
        """An element of a list, a part of a string, a key of an object."""
        if isinstance(container, list):
            return any(equal(item, one) for one in container)
        if isinstance(container, str | dict) and isinstance(item, str):
            return item in container
        if item is not None and container is not None:
            self.count += 1
        return False


def arithmetic(compute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Null if an operand is not a number, or without a result, as in 1 / 0."""

    def computed(left: Any, right: Any) -> Any:
        if KINDS[type(left)] != "number" or KINDS[type(right)] != "number":
            return None
        try:
            value = compute(left, right)
        except (ZeroDivisionError, OverflowError):
            return None
        return value if type(value) is int or math.isfinite(value) else None

    return computed


_sum = arithmetic(operator.add)


def plus(left: Any, right: Any) -> Any:
    """The sum of two numbers, or two strings joined; null of anything else."""
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    return _sum(left, right)


ARITHMETIC = {
    "+": plus,
    "-": arithmetic(operator.sub),
    "*": arithmetic(operator.mul),
    "/": arithmetic(operator.truediv),
    "%": arithmetic(operator.mod),
}
ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def matcher(pattern: str) -> Callable[[Any], bool]:
    """A function that finds whether a text has a match of `pattern`. re.error if it is invalid.

    The function raises Slow if a text takes more than MATCH_SECONDS. It works in the main thread alone,
    by an alarm, which interrupts Python's matcher.
    """
    search = re.compile(pattern).search

    def matches(value: Any) -> bool:
        if not isinstance(value, str):
            return False
        before = signal.signal(signal.SIGALRM, too_slow)
        signal.setitimer(signal.ITIMER_REAL, MATCH_SECONDS)
        try:
            return search(value) is not None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def too_slow(number: int, frame: FrameType | None) -> None:
        raise Slow(
            f"matches: {pattern!r} takes over {MATCH_SECONDS:.0f} s on one text; "
            "write it without nested repetition such as (a+)+"
        )

    return matches


def _length(record: dict, value: Any) -> int | None:
    if value is None:
        return 0
    return len(value) if isinstance(value, str | list | dict) else None


def _both_strings(test: Callable[[str, str], bool]) -> Callable[[dict, Any, Any], bool]:
    def tested(record: dict, left: Any, right: Any) -> bool:
        return isinstance(left, str) and isinstance(right, str) and test(left, right)

    return tested


def _of_numbers(function: Callable[[list], Any]) -> Callable[[dict, Any], Any]:
    def of(record: dict, value: Any) -> Any:
        found = value if isinstance(value, list) else [value]
        numbers = [one for one in found if KINDS[type(one)] == "number"]
        return function(numbers) if numbers else None

    return of


def _mean(numbers: list) -> float | None:
    """Null if the mean is beyond a float, as for arithmetic."""
    try:
        mean = sum(numbers) / len(numbers)
    except OverflowError:
        return None
    return mean if math.isfinite(mean) else None


def _role_text(record: dict, role: Any = None) -> str:
    return records.conversation_text(record, role)


def _language(record: dict) -> str | None:
    return _rough_language()(records.question(record))


@functools.cache
def _rough_language() -> Callable[[str], str | None]:
    """Imported once: to do so per record costs a third of what finding the language does."""
    from qvl.text.languages import rough_language

    return rough_language


class Function(NamedTuple):
    """`call` takes the record and from `fewest` to `most` arguments."""

    call: Callable[..., Any]
    fewest: int
    most: int


FUNCTIONS = {  # has() and matches() are parsed: qvl.streams.expression
    "len": Function(_length, 1, 1),
    "lower": Function(lambda _, value: value.lower() if isinstance(value, str) else None, 1, 1),
    "contains": Function(_both_strings(operator.contains), 2, 2),
    "startswith": Function(_both_strings(str.startswith), 2, 2),
    "endswith": Function(_both_strings(str.endswith), 2, 2),
    "min": Function(_of_numbers(min), 1, 1),
    "max": Function(_of_numbers(max), 1, 1),
    "mean": Function(_of_numbers(_mean), 1, 1),
    "field": Function(lambda record, name: record.get(name), 1, 1),
    "text": Function(_role_text, 0, 1),
    "question": Function(records.question, 0, 0),
    "final": Function(records.final_text, 0, 0),
    "prompt": Function(records.prompt_text, 0, 0),
    "images": Function(records.images, 0, 0),
    "videos": Function(records.videos, 0, 0),
    "modality": Function(records.modality, 0, 0),
    "media": Function(records.media_kind, 0, 0),
    "language": Function(_language, 0, 0),
}
