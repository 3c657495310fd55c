"""Read and check the arguments of constraints. ValueError if one is missing or malformed."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

RELATIONS = {"less than": operator.lt, "at least": operator.ge}


def number(given: Mapping[str, Any], name: str, least: int = 0) -> int:
    """The whole number in argument `name`, at least `least`."""
    value = given.get(name)
    # Data sets that were stored as tables have 3.0 for 3.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected a whole number of {least} or more, got {value!r}")
    return value


def text(given: Mapping[str, Any], name: str) -> str:
    """The text in argument `name`, which is not empty."""
    value = given.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name}: expected a text, got {value!r}")
    return value


def words(given: Mapping[str, Any], name: str) -> list[str]:
    """The list of texts in argument `name`, none of them empty."""
    value = given.get(name)
    sound = isinstance(value, list) and all(
        isinstance(word, str) and word.strip() for word in value
    )
    if not sound or not value:
        raise ValueError(f"{name}: expected a list of words, got {value!r}")
    return value


def relation(
    given: Mapping[str, Any], name: str, count: str, least: int = 0
) -> Callable[[int], bool]:
    """A check that a number is "less than" or "at least" (argument `name`) the argument `count`."""
    value = given.get(name)
    if not isinstance(value, str) or value not in RELATIONS:
        raise ValueError(f"{name}: expected {' or '.join(map(repr, RELATIONS))}, got {value!r}")
    holds, bound = RELATIONS[value], number(given, count, least)
    return lambda found: bool(holds(found, bound))
