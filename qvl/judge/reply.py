"""Parse the verdict of a judge's reply.

The verdict may be bare JSON, or JSON in a code fence, in prose, after </think> or inside another object.
Trailing commas, comments, line feeds within strings and Python literals are accepted. A value is never
guessed, clamped or completed. Two different verdicts are an error: the judge may have quoted one of them
from the response that it judges.
"""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from qvl.judge.prompt import InvalidValue, Prompt
from qvl.text import thinking

MAX_CHARACTERS = 100_000  # of a longer reply only the end is parsed
MAX_OBJECTS = 64  # that are tried: a text with more braces is no verdict
NOT_JSON = re.compile(
    r'("(?:[^"\\]|\\.)*")'  # a string, which is kept
    r"|//[^\n]*|/\*.*?\*/"  # a comment
    r"|,(?=\s*[}\]])",  # a trailing comma
    re.DOTALL,
)
QUOTES = str.maketrans({"“": '"', "”": '"'})


class Unreadable(Exception):
    """The reply holds no verdict, or several that differ."""


def parse(text: str, prompt: Prompt) -> dict[str, Any]:
    """The values of the prompt's fields in a reply; Unreadable if it holds no single verdict."""
    reply = thinking.split(text)[1].strip()[-MAX_CHARACTERS:]
    if not reply:
        raise Unreadable("the reply is empty")
    verdicts: list[dict[str, Any]] = []
    problem = ""
    for found in _objects(reply):
        try:
            values = prompt.parse(found)
        except InvalidValue as error:
            problem = str(error)
        else:
            if all(prompt.without_text(values) != prompt.without_text(other) for other in verdicts):
                verdicts.append(values)
    if len(verdicts) > 1:
        raise Unreadable(f"{len(verdicts)} different verdicts")
    if not verdicts:
        raise Unreadable(problem or f"no JSON object in {reply[:60]!r}")
    return verdicts[0]


def _objects(text: str) -> Iterator[dict]:
    """The JSON objects in a text, each followed by the objects directly inside it."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    else:
        yield from _nested(found)
        return
    start, tried = text.find("{"), 0
    while start >= 0 and tried < MAX_OBJECTS:
        tried += 1
        end = _end(text, start)
        found = _loads(text[start:end]) if end else None
        if found is not None:
            yield from _nested(found)
        start = text.find("{", end if found is not None else start + 1)


def _nested(found: Any) -> Iterator[dict]:
    """The value, if it is an object, and the objects directly inside it."""
    if isinstance(found, dict):
        yield found
    values = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    for value in values:
        if isinstance(value, dict):
            yield value


def _end(text: str, start: int) -> int:
    """The position after the object that starts at `start`; 0 if it is not closed."""
    depth, quoted, place = 0, False, start
    while place < len(text):
        letter = text[place]
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


def _loads(text: str) -> dict | None:
    """The object that a text holds as JSON, as JSON with small errors or as a Python literal."""
    for attempt in (text, _repaired(text), _repaired(text.translate(QUOTES))):
        try:
            found = json.loads(attempt, strict=False)  # allows line feeds within strings
        except (ValueError, RecursionError):
            continue
        return found if isinstance(found, dict) else None
    try:
        found = ast.literal_eval(text)  # {'score': 4, 'fine': True}
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    return found if isinstance(found, dict) else None


def _repaired(text: str) -> str:
    """The text without comments and trailing commas."""
    return NOT_JSON.sub(lambda found: found[1] or "", text)
