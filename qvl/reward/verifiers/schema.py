"""Structured output: the response is JSON that conforms to the record's JSON schema.

The answer is a JSON schema (draft 2020-12, or the draft that "$schema" names). The reward is 1 if the
response's JSON conforms to it, else 0. Or the answer is {"schema": ..., "value": ...}. Then the reward of
JSON that conforms is the number of leaves (numbers, texts, true, false, null, empty lists and objects) that
are equal in both at the same path, over the larger number of leaves.

The JSON is the text after the thinking, if that is valid JSON as a whole; else the content of <answer>, else
of the last closed code fence, else the text from the first bracket to the last. So of several fences the last
counts, and two values in prose are not JSON. A copy of the schema scores 0, even if it conforms to itself.

References must point into the schema: nothing is ever fetched. A record is unverifiable if every value
conforms to its schema, or if a reference is not found or is circular. Patterns are those of Python; one that
backtracks without end is stopped by the verdict's time limit. The formats date, date-time, time, email, ipv4,
ipv6 and uuid are checked, others are not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time
from functools import lru_cache
from typing import Any

import orjson

from qvl.errors import need
from qvl.reward import Unverifiable, reference
from qvl.reward.reading.answer_block import fenced
from qvl.reward.reading.schema_check import problem
from qvl.text.thinking import answer_text

MAX_CHARACTERS = 200_000  # of the JSON; our choice
MAX_DEPTH = 60  # of the JSON, which the validator follows on Python's stack; our choice
_FORMATS = ("date", "email", "ipv4", "ipv6", "uuid")
_NOTHING = object()


@dataclass(frozen=True)
class _Expected:
    schema: Any
    validator: Any
    leaves: frozenset | None
    """Those of the expected value; None without one."""


def score(record: dict, response: dict) -> float:
    """1 or 0; with an expected value the share of equal leaves."""
    expected = _expected(_key(reference(record)))
    value = _value(extract(response))
    if value is _NOTHING or _deep(value) or value == expected.schema:
        return 0.0
    try:
        fits = expected.validator.is_valid(value)
    except RecursionError:  # the schema is finite, so the value is nested too deep
        fits = False
    if not fits:
        return 0.0
    if expected.leaves is None:
        return 1.0
    leaves = frozenset(_leaves(value))
    return len(leaves & expected.leaves) / max(len(leaves), len(expected.leaves))


def extract(response: dict) -> str:
    """The JSON text of a response; "" if it has none."""
    text = answer_text(response).strip()
    for each in _places(text):
        if _value(each) is not _NOTHING:
            return each
    return ""


def _places(text: str) -> Iterator[str]:
    """The texts that may be the JSON, in order of preference."""
    yield text
    end = text.rfind("</answer>")
    begin = text.rfind("<answer>", 0, max(end, 0))
    if begin >= 0:
        text = text[begin + len("<answer>") : end].strip()
        yield text
    yield fenced(text).strip()
    brackets = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    if brackets:
        yield text[min(brackets) : max(text.rfind("}"), text.rfind("]")) + 1]


def _value(text: str) -> Any:
    if not text or len(text) > MAX_CHARACTERS:
        return _NOTHING
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _NOTHING


def _deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            each
            for one in level
            if isinstance(one, dict | list)
            for each in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def _leaves(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """(path, kind, value) of each leaf; 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _leaves(each, (*path, name))
    elif isinstance(value, list) and value:
        for index, each in enumerate(value):
            yield from _leaves(each, (*path, index))
    else:
        empty = isinstance(value, dict | list)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        yield path, "number" if number else type(value).__name__, None if empty else value


def _key(answer: Any) -> bytes:
    if not isinstance(answer, dict):
        raise Unverifiable(f"answer: expected a JSON schema, got {answer!r}"[:200])
    return orjson.dumps(answer)


@lru_cache(256)
def _expected(answer: bytes) -> _Expected:
    """The schema and the leaves that an answer expects; prepared once for all of its responses."""
    given = orjson.loads(answer)
    valued = set(given) == {"schema", "value"}
    schema = given["schema"] if valued or set(given) == {"schema"} else given
    if not isinstance(schema, dict):
        raise Unverifiable(f"answer: expected a JSON schema, got {schema!r}"[:200])
    jsonschema = need("jsonschema")
    registry = need("referencing").Registry()  # this registry fetches nothing
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    unsound = problem(schema, kind, registry)
    if unsound:
        raise Unverifiable(f"answer: the JSON schema {unsound}"[:200])
    validator = kind(schema, registry=registry, format_checker=_formats(jsonschema))
    if valued and (_deep(given["value"]) or not validator.is_valid(given["value"])):
        raise Unverifiable("answer: value: does not conform to its schema")
    if not valued and all(validator.is_valid(each) for each in (None, True, 0, "", [], {})):
        raise Unverifiable("answer: the JSON schema accepts every value")
    leaves = frozenset(_leaves(given["value"])) if valued else None
    return _Expected(schema, validator, leaves)


def _formats(jsonschema: Any) -> Any:
    checker = jsonschema.FormatChecker(formats=_FORMATS)
    checker.checks("date-time", raises=ValueError)(_is_date_time)
    checker.checks("time", raises=ValueError)(_is_time)
    return checker


def _is_date_time(value: Any) -> bool:
    """Whether a value is a date and time of RFC 3339, with T and an offset, or no text."""
    if not isinstance(value, str):
        return True
    return "T" in value.upper() and datetime.fromisoformat(value.upper()).tzinfo is not None


def _is_time(value: Any) -> bool:
    return not isinstance(value, str) or time.fromisoformat(value.upper()).tzinfo is not None
