"""Parse the verdict of a judge's reply.

A judge may quote the response that it judges, and a response may hold a verdict of its own, so a verdict is
never searched for. A truncated reply has none. If a JSON schema was sent, only a whole reply that matches
the schema is a verdict, with or without a code fence around it. In free text the verdict is the JSON object at the end of the reply, as the prompt
asks for: bare, in a code fence or inside another object. Trailing commas, comments, line feeds within
strings and Python literals are accepted there. A value is never guessed, clamped or completed, and a name
that occurs twice is an error, as are two different verdicts, and a verdict whose words are those of the
material that is judged.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from qvl.judge.prompt import InvalidValue, Prompt
from qvl.text import thinking, truncation

MAX_CHARACTERS = 100_000  # of a reply: a verdict has a few hundred
MAX_OBJECTS = 64  # that are tried: a text with more braces is no verdict
NOT_JSON = re.compile(
    r'("(?:[^"\\]|\\.)*")'  # a string, which is kept
    r"|//[^\n]*|/\*.*?\*/"  # a comment
    r"|,(?=\s*[}\]])",  # a trailing comma
    re.DOTALL,
)
QUOTES = str.maketrans({"“": '"', "”": '"'})
FENCED = re.compile(r"\s*(```|~~~)(?:json)?\s*\n(.*)\n\1\s*", re.DOTALL)  # a whole reply
CLOSING = re.compile(r"\s*(?:`{3,}|~{3,})?\s*$")  # the end of a code fence


class Unreadable(Exception):
    """The reply holds no verdict, or several that differ."""


class _Repeated(ValueError):
    """A name occurs twice in an object: a parser takes one of the values, and a reader the other."""


def verdict(choice: dict, prompt: Prompt, judged: str, *, has_schema: bool) -> dict[str, Any]:
    """The values of the prompt's fields in a choice of an endpoint's answer; Unreadable without a verdict.

    judged: the text of the material. has_schema: whether the prompt's JSON schema was sent.
    """
    content = choice["message"].get("content") or ""
    if choice.get("finish_reason") in truncation.FINISH_REASONS:
        raise Unreadable(f"truncated: {content[-60:]!r}")
    return parse(content, prompt) if has_schema else parse_free_text(content, prompt, judged)


def parse(text: str, prompt: Prompt) -> dict[str, Any]:
    """The values of the prompt's fields in a reply that was requested with its JSON schema.

    text: the whole content of the reply. Unreadable if it is anything but one object of the schema.
    """
    _check_length(text)
    fenced = FENCED.fullmatch(text)
    try:
        found = json.loads(fenced[2] if fenced else text, object_pairs_hook=_unique)
    except _Repeated as error:
        raise Unreadable(str(error)) from None
    except (ValueError, RecursionError):
        raise Unreadable(f"not JSON as its schema requires: {text[:60]!r}; {HINT}") from None
    try:
        return prompt.parse_exactly(found)
    except InvalidValue as error:
        raise Unreadable(f"not an object of its schema: {error}; {HINT}") from None


HINT = "if the endpoint ignores schemas, use --free-text"


def parse_free_text(text: str, prompt: Prompt, material: str = "") -> dict[str, Any]:
    """The values of the prompt's fields in a reply of free text; Unreadable if it holds no single verdict.

    text: the whole content of the reply, with the thinking if the endpoint does not split it off.
    material: the text that is judged.
    """
    _check_length(text)
    if text.lstrip().startswith(thinking.OPEN):
        text = thinking.split(text)[1]
    reply = CLOSING.sub("", text)
    if not reply.strip():
        raise Unreadable("the reply is empty")
    start, last = _last_object(reply)
    problem, verdicts = "", []
    for found in _nested(last):
        try:
            verdicts.append(prompt.parse(found))
        except InvalidValue as error:
            problem = problem or str(error)
    if not verdicts:
        raise Unreadable(problem)
    given = verdicts[0]
    words = any(isinstance(value, str) and value for value in prompt.texts(given).values())
    if words and reply[start:] in material:
        raise Unreadable("the verdict is a quotation of what it judges")
    values = prompt.without_text(given)
    others = [*verdicts, *_verdicts(reply[:start], prompt)]
    if any(prompt.without_text(other) != values for other in others):
        raise Unreadable("different verdicts")
    return given


def _check_length(text: str) -> None:
    if not text.strip():
        raise Unreadable("the reply is empty")
    if len(text) > MAX_CHARACTERS:
        raise Unreadable(f"the reply has more than {MAX_CHARACTERS:,} characters")


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs; _Repeated if two have the same name."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Repeated(f"{name[:40]!r} occurs twice")
        found[name] = value
    return found


def _last_object(reply: str) -> tuple[int, dict]:
    """The start and content of the longest object at the end of a text; Unreadable if there is none."""
    starts = [place for place, letter in enumerate(reply) if letter == "{"]
    if not starts or not reply.endswith("}"):
        raise Unreadable(f"no JSON object at the end: {reply[-60:]!r}")
    for start in starts[-MAX_OBJECTS:]:
        found = _loads(reply[start:])
        if found is not None:
            return start, found
    raise Unreadable(f"not JSON at the end: {reply[starts[-1] :][:60]!r}")


def _verdicts(text: str, prompt: Prompt) -> Iterator[dict[str, Any]]:
    """The verdicts in a text, by trying its objects."""
    for found in _objects(text):
        try:
            yield prompt.parse(found)
        except InvalidValue:
            continue


def _objects(text: str) -> Iterator[dict]:
    """The last objects in a text, each followed by the objects directly inside it."""
    starts = [place for place, letter in enumerate(text) if letter == "{"]
    after = 0
    for start in starts[-MAX_OBJECTS:]:
        end = _end(text, start) if start >= after else 0
        found = _loads(text[start:end]) if end else None
        if found is not None:
            after = end
            yield from _nested(found)


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
        try:  # not strict: allows line feeds within strings
            found = json.loads(attempt, strict=False, object_pairs_hook=_unique)
        except _Repeated as error:
            raise Unreadable(str(error)) from None
        except (ValueError, RecursionError):
            continue
        return found if isinstance(found, dict) else None
    try:  # {'score': 4, 'fine': True}
        tree = ast.parse(text, mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                _unique((ast.dump(key) if key else "", None) for key in node.keys)
        found = ast.literal_eval(tree)
    except _Repeated as error:
        raise Unreadable(str(error)) from None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    return found if isinstance(found, dict) else None


def _repaired(text: str) -> str:
    """The text without comments and trailing commas."""
    return NOT_JSON.sub(lambda found: found[1] or "", text)
