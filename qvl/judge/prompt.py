"""A judge's prompt: a text file with the fields of the verdict, then the instructions.

    reason: text
    verifiable: yes | no
    better: A | B | tie
    complexity: 1 to 5
    ---
    You judge ...

The fields give the JSON schema, the description of the reply's format in the prompt, and the parser of the
reply, so that the three agree. A reply may omit a text field, but no other.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from qvl import prompts
from qvl.errors import UserError
from qvl.judge.material import Section, fenced

FIELD = re.compile(r"([a-z][a-z0-9_]*)\s*:\s*(.+)")
RANGE = re.compile(r"(\d+) to (\d+)")
FRACTION = re.compile(r"(\d+(?:\.\d+)?)(?:\s*/\s*(\d+))?")
MAX_STEPS = 100  # of a score: the schema lists them, and no judge distinguishes more
FLAGS = {"yes": True, "no": False, "true": True, "false": False}


class InvalidValue(Exception):
    """A value that its field does not allow, or a missing one."""


class Field(NamedTuple):
    """One field of a verdict. kind: text, flag, choice (of `choices`) or score (`low` to `high`)."""

    name: str
    kind: str
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 0

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the value."""
        if self.kind == "text":
            return {"type": "string"}
        if self.kind == "flag":
            return {"type": "boolean"}
        if self.kind == "choice":
            return {"type": "string", "enum": list(self.choices)}
        return {"type": "integer", "enum": list(range(self.low, self.high + 1))}

    @property
    def description(self) -> str:
        """The field in the prompt's description of the reply."""
        form = {
            "text": "a string",
            "flag": "true or false",
            "choice": " or ".join(f'"{each}"' for each in self.choices),
            "score": f"a whole number from {self.low} to {self.high}",
        }
        return f'"{self.name}": {form[self.kind]}'

    def parse(self, value: Any) -> Any:
        """The value as str, bool, or number from low to high; InvalidValue if it is not allowed."""
        if self.kind == "text":
            return _text(value)
        if self.kind == "flag":
            return _flag(value)
        if self.kind == "choice":
            return self._choice(value)
        return self._score(value)

    def accepts(self, value: Any) -> bool:
        """Whether a value matches the schema."""
        if self.kind == "text":
            return isinstance(value, str)
        if self.kind == "flag":
            return isinstance(value, bool)
        if self.kind == "choice":
            return value in self.choices
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high and value == int(value)

    def share(self, value: float) -> float:
        """A score as a fraction of its scale: 0 at low, 1 at high."""
        return round((value - self.low) / (self.high - self.low), 4)

    def _choice(self, value: Any) -> str:
        lowered = value.strip().lower() if isinstance(value, str) else None
        for choice in self.choices:
            if choice.lower() == lowered:
                return choice
        raise InvalidValue(f"{value!r:.40}: expected one of {', '.join(self.choices)}")

    def _score(self, value: Any) -> float:
        number: Any = value
        if isinstance(value, str) and (found := FRACTION.fullmatch(value.strip())):
            if found[2] and int(found[2]) != self.high:
                raise InvalidValue(f"{value!r:.40}: expected a score out of {self.high}")
            number = float(found[1])
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise InvalidValue(f"{value!r:.40}: expected a number")
        if not self.low <= number <= self.high:
            raise InvalidValue(f"{value!r:.40}: expected a number from {self.low} to {self.high}")
        return int(number) if number == int(number) else number


@dataclass(frozen=True)
class Prompt:
    """The name and text of a prompt; its fields and instructions are parsed from the text."""

    name: str
    text: str

    @classmethod
    def named(cls, name: str) -> "Prompt":
        """The prompt of a file of qvl/prompts."""
        return cls(name, prompts.load(name)).checked()

    @classmethod
    def file(cls, path: str) -> "Prompt":
        """The prompt of a user's file; UserError if it cannot be read."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
        return cls(path, text).checked()

    def checked(self) -> "Prompt":
        """The same prompt; UserError if its fields or instructions are missing or invalid."""
        if not self.instructions:
            raise UserError(f"{self.name}: expected instructions after a line of ---")
        if not any(field.kind != "text" for field in self.fields.values()):
            raise UserError(f"{self.name}: expected at least one field that is not text")
        return self

    @cached_property
    def instructions(self) -> str:
        """The text after the line of ---."""
        return _halves(self.text)[1].strip()

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The fields of the verdict by name, in the order of the text."""
        lines = (line.strip() for line in _halves(self.text)[0].splitlines())
        found = [_field(line, self.name) for line in lines if line and not line.startswith("#")]
        return {field.name: field for field in found}

    @property
    def scales(self) -> dict[str, tuple[float, float]]:
        """The lowest and the highest value of each field that is a score."""
        return {name: (of.low, of.high) for name, of in self.fields.items() if of.kind == "score"}

    @cached_property
    def hash(self) -> str:
        """A hash of the text, which identifies the prompt in a lineage."""
        return hashlib.blake2b(self.text.encode(), digest_size=8).hexdigest()

    @property
    def identity(self) -> dict[str, str]:
        """The name and hash, for the configuration and lineage of a run."""
        return {"name": Path(self.name).name, "hash": self.hash}

    @cached_property
    def response_format(self) -> dict[str, Any]:
        """The `response_format` of a request, as OpenAI, vLLM and SGLang accept it."""
        schema = {
            "type": "object",
            "properties": {field.name: field.schema for field in self.fields.values()},
            "required": list(self.fields),
            "additionalProperties": False,
        }
        json_schema = {"name": "verdict", "strict": True, "schema": schema}
        return {"type": "json_schema", "json_schema": json_schema}

    @cached_property
    def _format(self) -> str:
        """The description of the reply."""
        fields = ", ".join(field.description for field in self.fields.values())
        return f"Reply with one JSON object and nothing after it: {{{fields}}}."

    def messages(self, sections: Sequence[Section]) -> list[dict]:
        """The messages of a request: the instructions, then the fenced material.

        The instructions come first so that an engine's prefix cache can keep them. The description of the
        reply stands after both.
        """
        system = f"{self.instructions}\n\n{self._format}"
        return [
            {"role": "system", "content": system},
            {"role": "user", "content": fenced(sections, self._format)},
        ]

    def parse(self, found: dict) -> dict[str, Any]:
        """The values of a reply's object, in the order of the fields; InvalidValue if one is not allowed."""
        named = [(_plain(name), value) for name, value in found.items() if isinstance(name, str)]
        given = dict(named)
        if len(given) < len(named):
            raise InvalidValue("a name occurs twice")
        values: dict[str, Any] = {}
        for field in self.fields.values():
            value = given.get(_plain(field.name))
            if value is None and field.kind != "text":
                raise InvalidValue(f"{field.name}: not found")
            try:
                values[field.name] = field.parse(value)
            except InvalidValue as error:
                raise InvalidValue(f"{field.name}: {error}") from None
        return values

    def parse_exactly(self, found: Any) -> dict[str, Any]:
        """The values of a reply that matches the schema, in the order of the fields; else InvalidValue.

        Further names are ignored, as by an endpoint that does not enforce the schema.
        """
        if not isinstance(found, dict):
            raise InvalidValue(f"{found!r:.40}: expected an object")
        for name, field in self.fields.items():
            if name not in found:
                raise InvalidValue(f"{name}: not found")
            if not field.accepts(found[name]):
                raise InvalidValue(f"{name}: {found[name]!r:.40}")
        return self.parse(found)

    def texts(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values of text fields."""
        return {name: values[name] for name, of in self.fields.items() if of.kind == "text"}

    def without_text(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values without those of text fields."""
        return {name: values[name] for name, of in self.fields.items() if of.kind != "text"}


def _halves(text: str) -> tuple[str, str]:
    """The fields and the instructions of a prompt, without the line of --- between them."""
    head, _, body = f"\n{text}".replace("\r\n", "\n").partition("\n---\n")
    return head, body


def _field(line: str, where: str) -> Field:
    found = FIELD.fullmatch(line)
    if not found:
        raise UserError(f"{where}: {line!r:.60}: expected FIELD: KIND")
    name, kind = found[1], found[2].strip()
    if kind == "text":
        return Field(name, "text")
    scale = RANGE.fullmatch(kind)
    if scale:
        low, high = int(scale[1]), int(scale[2])
        if not low < high <= low + MAX_STEPS:
            raise UserError(f"{where}: {line!r}: expected a scale of at most {MAX_STEPS} steps")
        return Field(name, "score", low=low, high=high)
    choices = tuple(choice.strip() for choice in kind.split("|"))
    if choices == ("yes", "no"):
        return Field(name, "flag")
    if (
        len(choices) < 2
        or not all(choices)
        or len({each.lower() for each in choices}) < len(choices)
    ):
        raise UserError(f"{where}: {line!r:.60}: expected text, yes | no, A | B, or 1 to 5")
    return Field(name, "choice", choices)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):  # "\\ud800" alone is JSON, and no text that can be written
        return value.strip().encode(errors="replace").decode()
    return orjson.dumps(value).decode()


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    lowered = value.strip().lower() if isinstance(value, str) else None
    if lowered not in FLAGS:
        raise InvalidValue(f"{value!r:.40}: expected true or false")
    return FLAGS[lowered]


def _plain(name: str) -> str:
    """A field's name in lower case without punctuation, as judges vary it."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
