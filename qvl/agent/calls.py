"""What a model wrote in a turn: its thought, its words, and its calls in Hermes' format, read tolerantly.

A call is JSON with a name and arguments between <tool_call> and </tool_call>. A call inside the thought is
none. What a strict parser refuses is often clear: the last tag or brackets are missing, a comma is too
many, keys have no quotes or strings have single ones, arguments are JSON in a string, NaN stands for a
number. Such calls are read. A call that still cannot be read is Unreadable, with the reason, so that the
model can be told.
"""

import ast
import json
import re
from typing import Any, NamedTuple

from qvl.text import thinking

CALL, END_CALL, RESPONSE = "<tool_call>", "</tool_call>", "<tool_response>"
FORM = f'{CALL}\n{{"name": ..., "arguments": {{...}}}}\n{END_CALL}'
MAX_CHARACTERS = 65_536  # of a call: our choice
MAX_ENDINGS = 16  # brackets that may be missing

_CALLS = re.compile(f"{CALL}(.*?)(?:{END_CALL}|(?={CALL})|\\Z)", re.DOTALL)
_FENCE = re.compile(r"^```\w*\n?|\n?```$")
_LAST_COMMA = re.compile(r",\s*([}\]])")
_BARE_KEY = re.compile(r"([{,]\s*)([A-Za-z_]\w*)\s*:")


class Call(NamedTuple):
    """A call that can be made."""

    name: str
    arguments: Any


class Unreadable(NamedTuple):
    """A call that cannot be read, and why."""

    reason: str


class Turn(NamedTuple):
    """What a model wrote."""

    reasoning: str
    text: str
    """All after the thought."""
    content: str
    """What of it stands before the first call."""
    calls: list[Call | Unreadable]

    @property
    def is_readable(self) -> bool:
        return not any(isinstance(each, Unreadable) for each in self.calls)


def read(text: str, *, opens_thought: bool = False) -> Turn:
    """The parts of a turn. opens_thought: the prompt has begun its thought."""
    reasoning, words = thinking.split(text, truncated=opens_thought)
    begin = words.find(CALL)
    if begin < 0:
        return Turn(reasoning, words, words, [])
    # What the model writes as a response of a tool is none, and what it builds on it is not run.
    forged = words.find(RESPONSE)
    calls = [
        Unreadable(f"it stands after a {RESPONSE} that no tool wrote")
        if 0 <= forged < match.start()
        else _call(match[1])
        for match in _CALLS.finditer(words, begin)
    ]
    return Turn(reasoning, words, words[:begin].rstrip("\n"), calls)


def _call(text: str) -> Call | Unreadable:
    if len(text) > MAX_CHARACTERS:
        return Unreadable(f"it is longer than {MAX_CHARACTERS} characters")
    try:
        found = _parsed(_FENCE.sub("", text.strip()).strip())
    except ValueError as error:
        return Unreadable(f"it is not JSON: {error}")
    if isinstance(found, dict) and isinstance(found.get("function"), dict):
        found = found["function"]
    if not isinstance(found, dict):
        return Unreadable("it is no JSON object")
    name = found.pop("name", None)
    if not isinstance(name, str) or not name:
        return Unreadable("it has no name")
    arguments = found
    for key in ("arguments", "parameters"):
        if key in found:
            arguments = found[key]
            break
    if isinstance(arguments, str):
        try:
            arguments = _parsed(arguments)
        except ValueError as error:
            return Unreadable(f"its arguments are not JSON: {error}")
    return Call(name, arguments)


def _parsed(text: str) -> Any:
    """The value of JSON, or of nearly JSON. ValueError with the complaint about the text as it is."""
    try:
        return json.loads(text, strict=False)  # line breaks in strings, NaN
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        problem = error
    mended = _BARE_KEY.sub(r'\1"\2":', _LAST_COMMA.sub(r"\1", text))
    for each in dict.fromkeys((mended, mended + _missing(mended))):
        try:
            return json.loads(each, strict=False)
        except (ValueError, RecursionError):
            pass
        try:
            return _plain(ast.literal_eval(each))
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            pass
    raise ValueError(str(problem))


def _missing(text: str) -> str:
    """The brackets that a text has opened and not closed."""
    opened: list[str] = []
    quoted = escaped = False
    for letter in text:
        if quoted:
            quoted = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            quoted = True
        elif letter in "{[":
            opened.append("}" if letter == "{" else "]")
        elif letter in "}]" and opened:
            opened.pop()
    return "".join(reversed(opened)) if len(opened) <= MAX_ENDINGS else ""


def _plain(value: Any) -> Any:
    """A Python literal as JSON has it. ValueError for sets, bytes, complex numbers."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"{type(value).__name__} is not JSON")
