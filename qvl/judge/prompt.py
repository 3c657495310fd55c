"""A judge's prompt: a text file that names the fields of its verdict, then says what to judge.

    reason: text
    verifiable: yes | no
    better: A | B | tie
    complexity: 1 to 5
    ---
    You judge ...

The JSON schema, what the judge is told of the form of its reply and the reading of the reply all
come from the fields, so that they agree. A field of text may be left out of a reply; others may not.
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

LINE = re.compile(r"([a-z][a-z0-9_]*)\s*:\s*(.+)")
RANGE = re.compile(r"(\d+) to (\d+)")
FRACTION = re.compile(r"(\d+(?:\.\d+)?)(?:\s*/\s*(\d+))?")
WIDEST = 100  # steps of a score: a schema lists them, and no judge tells more apart
FLAGS = {"yes": True, "no": False, "true": True, "false": False}


class Wrong(Exception):
    """A value that a field cannot have."""


class Field(NamedTuple):
    """One field of a verdict. Exactly one kind: text, a flag, one of `choices`, a score."""

    name: str
    kind: str
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 0

    @property
    def schema(self) -> dict[str, Any]:
        if self.kind == "text":
            return {"type": "string"}
        if self.kind == "flag":
            return {"type": "boolean"}
        if self.kind == "choice":
            return {"type": "string", "enum": list(self.choices)}
        return {"type": "integer", "enum": list(range(self.low, self.high + 1))}

    @property
    def told(self) -> str:
        """What the judge reads of it."""
        form = {
            "text": "a string",
            "flag": "true or false",
            "choice": " or ".join(f'"{each}"' for each in self.choices),
            "score": f"a whole number from {self.low} to {self.high}",
        }
        return f'"{self.name}": {form[self.kind]}'

    def read(self, value: Any) -> Any:
        """The value in its type: str, bool, or a number from low to high. Wrong where it is none."""
        if self.kind == "text":
            return _text(value)
        if self.kind == "flag":
            return _flag(value)
        if self.kind == "choice":
            return self._choice(value)
        return self._score(value)

    def share(self, value: float) -> float:
        """A score's place between low and high, from 0 to 1."""
        return round((value - self.low) / (self.high - self.low), 4)

    def _choice(self, value: Any) -> str:
        said = value.strip().lower() if isinstance(value, str) else None
        for choice in self.choices:
            if choice.lower() == said:
                return choice
        raise Wrong(f"{value!r:.40} is none of {', '.join(self.choices)}")

    def _score(self, value: Any) -> float:
        number: Any = value
        if isinstance(value, str) and (found := FRACTION.fullmatch(value.strip())):
            if found[2] and int(found[2]) != self.high:
                raise Wrong(f"{value!r:.40} is on another scale")
            number = float(found[1])
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise Wrong(f"{value!r:.40} is no number")
        if not self.low <= number <= self.high:
            raise Wrong(f"{value!r:.40} is not from {self.low} to {self.high}")
        return int(number) if number == int(number) else number


@dataclass(frozen=True)
class Prompt:
    """The fields and the instructions; `hash` tells one text from another in a lineage."""

    name: str
    text: str

    @classmethod
    def named(cls, name: str) -> "Prompt":
        """One of ours: a file of qvl/prompts."""
        return cls(name, prompts.load(name)).checked()

    @classmethod
    def file(cls, path: str) -> "Prompt":
        """A user's own."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
        return cls(path, text).checked()

    def checked(self) -> "Prompt":
        """UserError where the fields or the instructions cannot be read."""
        if not self.instructions:
            raise UserError(f"{self.name}: no instructions after a line of ---")
        if not any(field.kind != "text" for field in self.fields.values()):
            raise UserError(f"{self.name}: a verdict needs a field that is not text")
        return self

    @cached_property
    def instructions(self) -> str:
        return _halves(self.text)[1].strip()

    @cached_property
    def fields(self) -> dict[str, Field]:
        lines = (line.strip() for line in _halves(self.text)[0].splitlines())
        found = [_field(line, self.name) for line in lines if line and not line.startswith("#")]
        return {field.name: field for field in found}

    @property
    def scales(self) -> dict[str, tuple[float, float]]:
        """The lowest and the highest value of each field that is a score."""
        return {name: (of.low, of.high) for name, of in self.fields.items() if of.kind == "score"}

    @cached_property
    def hash(self) -> str:
        return hashlib.blake2b(self.text.encode(), digest_size=8).hexdigest()

    @property
    def identity(self) -> dict[str, str]:
        """For a run's configuration and lineage."""
        return {"name": Path(self.name).name, "hash": self.hash}

    @cached_property
    def response_format(self) -> dict[str, Any]:
        """OpenAI's, as vLLM and SGLang take it too."""
        schema = {
            "type": "object",
            "properties": {field.name: field.schema for field in self.fields.values()},
            "required": list(self.fields),
            "additionalProperties": False,
        }
        named = {"name": "verdict", "strict": True, "schema": schema}
        return {"type": "json_schema", "json_schema": named}

    @cached_property
    def _form(self) -> str:
        told = ", ".join(field.told for field in self.fields.values())
        return f"Reply with one JSON object and nothing after it: {{{told}}}."

    def messages(self, sections: Sequence[Section]) -> list[dict]:
        """What the judge is sent: the instructions, which an engine's prefix cache may keep, then the
        material, fenced, and once more the form of the reply."""
        system = f"{self.instructions}\n\n{self._form}"
        return [
            {"role": "system", "content": system},
            {"role": "user", "content": fenced(sections, self._form)},
        ]

    def read(self, found: dict) -> dict[str, Any]:
        """The verdict of a reply's object, in the order of the fields; Wrong where it is none."""
        given = {_plain(name): value for name, value in found.items() if isinstance(name, str)}
        values: dict[str, Any] = {}
        for field in self.fields.values():
            value = given.get(_plain(field.name))
            if value is None and field.kind != "text":
                raise Wrong(f"no {field.name}")
            try:
                values[field.name] = field.read(value)
            except Wrong as wrong:
                raise Wrong(f"{field.name}: {wrong}") from None
        return values

    def decides(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values without what is only said."""
        return {name: values[name] for name, of in self.fields.items() if of.kind != "text"}


def _halves(text: str) -> tuple[str, str]:
    head, _, body = f"\n{text}".replace("\r\n", "\n").partition("\n---\n")
    return head, body


def _field(line: str, where: str) -> Field:
    found = LINE.fullmatch(line)
    if not found:
        raise UserError(f"{where}: {line!r:.60}: expected FIELD: KIND")
    name, kind = found[1], found[2].strip()
    if kind == "text":
        return Field(name, "text")
    scale = RANGE.fullmatch(kind)
    if scale:
        low, high = int(scale[1]), int(scale[2])
        if not low < high <= low + WIDEST:
            raise UserError(f"{where}: {line!r}: expected a scale of at most {WIDEST} steps")
        return Field(name, "score", low=low, high=high)
    choices = tuple(choice.strip() for choice in kind.split("|"))
    if choices == ("yes", "no"):
        return Field(name, "flag")
    if (
        len(choices) < 2
        or not all(choices)
        or len({each.lower() for each in choices}) < len(choices)
    ):
        raise UserError(f"{where}: {line!r:.60}: say text, yes | no, A | B, or 1 to 5")
    return Field(name, "choice", choices)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    return orjson.dumps(value).decode()


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    said = value.strip().lower() if isinstance(value, str) else None
    if said not in FLAGS:
        raise Wrong(f"{value!r:.40} is neither true nor false")
    return FLAGS[said]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
