"""Find the verdict in a judge's reply, however it is wrapped.

Read are: bare JSON; JSON in a fence, in prose, after </think> or inside another object; trailing
commas, comments, line feeds within strings and Python's spelling. A value is never guessed, clamped or
completed, and two verdicts that differ are none: one of them may be quoted from what was judged.
"""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from qvl.judge.prompt import Prompt, Wrong
from qvl.text import thinking

LONGEST = 100_000  # characters; of a longer reply the end is read
MOST_OBJECTS = 64  # that are tried: prose full of braces holds no verdict
STRAY = re.compile(
    r'("(?:[^"\\]|\\.)*")'  # a string, which stays
    r"|//[^\n]*|/\*.*?\*/"  # a comment
    r"|,(?=\s*[}\]])",  # a trailing comma
    re.DOTALL,
)
QUOTES = str.maketrans({"“": '"', "”": '"'})


class Unreadable(Exception):
    """A reply without a verdict, or with two."""


def read(text: str, prompt: Prompt) -> dict[str, Any]:
    """The fields' values in the reply; Unreadable where it holds none."""
    said = thinking.split(text)[1].strip()[-LONGEST:]
    if not said:
        raise Unreadable("empty")
    verdicts: list[dict[str, Any]] = []
    problem = ""
    for found in _objects(said):
        try:
            values = prompt.read(found)
        except Wrong as wrong:
            problem = str(wrong)
        else:
            if all(prompt.decides(values) != prompt.decides(other) for other in verdicts):
                verdicts.append(values)
    if len(verdicts) > 1:
        raise Unreadable(f"{len(verdicts)} verdicts that differ")
    if not verdicts:
        raise Unreadable(problem or f"no JSON object in {said[:60]!r}")
    return verdicts[0]


def _objects(said: str) -> Iterator[dict]:
    """The JSON objects of a text, each followed by those that it holds."""
    try:
        found = orjson.loads(said)
    except orjson.JSONDecodeError:
        pass
    else:
        yield from _nested(found)
        return
    start, tried = said.find("{"), 0
    while start >= 0 and tried < MOST_OBJECTS:
        tried += 1
        end = _end(said, start)
        found = _loads(said[start:end]) if end else None
        if found is not None:
            yield from _nested(found)
        start = said.find("{", end if found is not None else start + 1)


def _nested(found: Any) -> Iterator[dict]:
    if isinstance(found, dict):
        yield found
    values = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    for value in values:
        if isinstance(value, dict):
            yield value


def _end(said: str, start: int) -> int:
    """Where the object that opens at `start` ends; 0 where it does not."""
    depth, quoted, place = 0, False, start
    while place < len(said):
        letter = said[place]
        if quoted:
            if letter == "\\":
                place += 1
            quoted = letter != '"'
        elif letter == '"':
            quoted = True
        elif letter == "{":
            depth += 1
        elif letter == "}":
            depth -= 1
            if depth == 0:
                return place + 1
        place += 1
    return 0


def _loads(said: str) -> dict | None:
    for attempt in (said, _mended(said), _mended(said.translate(QUOTES))):
        try:
            found = json.loads(attempt, strict=False)  # strict: no line feeds within strings
        except (ValueError, RecursionError):
            continue
        return found if isinstance(found, dict) else None
    try:
        found = ast.literal_eval(said)  # {'score': 4, 'fine': True}
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    return found if isinstance(found, dict) else None


def _mended(said: str) -> str:
    return STRAY.sub(lambda found: found[1] or "", said)
