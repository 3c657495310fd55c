"""The arguments of constraints, read and checked. ValueError, in one sentence, for what is wrong."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

RELATIONS = {"less than": operator.lt, "at least": operator.ge}


def number(given: Mapping[str, Any], name: str, least: int = 0) -> int:
    value = given.get(name)
    # Data sets that went through a table hold 3.0 for 3.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected a whole number of {least} or more, not {value!r}")
    return value


def text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name}: expected a text, not {value!r}")
    return value


def words(given: Mapping[str, Any], name: str) -> list[str]:
    value = given.get(name)
    sound = isinstance(value, list) and all(
        isinstance(word, str) and word.strip() for word in value
    )
    if not sound or not value:
        raise ValueError(f"{name}: expected a list of words, not {value!r}")
    return value


def relation(
    given: Mapping[str, Any], name: str, count: str, least: int = 0
) -> Callable[[int], bool]:
    """Whether a count is "less than" or "at least" the argument `count`."""
    value = given.get(name)
    if not isinstance(value, str) or value not in RELATIONS:
        raise ValueError(f"{name}: expected {' or '.join(map(repr, RELATIONS))}, not {value!r}")
    holds, bound = RELATIONS[value], number(given, count, least)
    return lambda found: bool(holds(found, bound))
