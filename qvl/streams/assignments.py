"""Set fields of a record by expressions: 'answer = final(), scores.mine.length = len(answer)'."""

from itertools import pairwise
from typing import Any, NamedTuple

import orjson

from qvl.errors import UserError
from qvl.stage import Drop, Run
from qvl.streams.expression import EACH, Parser, Value
from qvl.streams.fields import Fields


class Assignment(NamedTuple):
    path: tuple[str | int, ...]  # names of fields, and indices of elements
    value: Value


class Assignments:
    """The stage function of `qvl set`: a record with its new fields, or why it is dropped.

    Each assignment sees what those before it have set. Null removes the field.
    """

    def __init__(self, source: str, run: Run | None = None) -> None:
        """UserError with the column of the first error in `source`."""
        parser = _AssignmentParser(source)
        self.run = run
        self._all = parser.assignments()
        ours = {each.path[0] for each in self._all}
        self.fields = Fields(path for path in parser.paths if path[0] not in ours)

    def __call__(self, record: dict) -> dict | Drop:
        if self.fields.absent:
            self.fields.look(record)
        changed = dict(record)
        try:
            for path, value in self._all:
                _put(changed, path, value(changed))
        except UserError as error:
            if self.run is None or self.run.on_error == "stop":
                raise UserError(f"record {record.get('id')!r}: {error}") from None
            return Drop("cannot-set", str(error))
        return changed


class _AssignmentParser(Parser):
    def assignments(self) -> list[Assignment]:
        """NAME ("." NAME | "[" STRING "]" | "[" INDEX "]")* "=" or ("," ...)*"""
        found = [self.assignment()]
        while self.accept(","):
            found.append(self.assignment())
        if self.next.kind != "end":
            self.fail(f"unexpected {self.next.text!r}; assignments are joined with commas")
        return found

    def assignment(self) -> Assignment:
        if self.next.kind != "name":
            self.fail('expected a field to set, as in task = "vqa"')
        path: list[str | int] = [self.take().text]
        while self.next.text != "=":
            if self.next.text not in (".", "["):
                self.fail(f"expected = after the field, found {self.next.text!r}")
            step = self.step()
            if step is EACH:
                self.fail("one element can be set, not each of a list")
            path.append(step)
        self.take()
        return Assignment(tuple(path), self.either())


def _put(record: dict, path: tuple[str | int, ...], value: Any) -> None:
    """Set a field or an element in place, and copy what lies above it, which may belong to the original."""
    if path == ("id",) and not (isinstance(value, str) and value):
        raise UserError("id: expected a string that is not empty")
    holder: Any = record
    for depth, (step, following) in enumerate(pairwise(path), 1):
        inner = holder[step] if isinstance(step, int) else holder.get(step)
        if isinstance(following, int):
            if not isinstance(inner, list) or not -len(inner) <= following < len(inner):
                raise UserError(f"{_name(path[:depth])} is not a list with an element {following}")
        elif inner is None:
            if value is None:
                return
            inner = {}
        elif not isinstance(inner, dict):
            raise UserError(f"{_name(path[:depth])} is not an object, so it has no {following}")
        holder[step] = inner.copy()
        holder = holder[step]
    last = path[-1]
    if value is None:
        if isinstance(last, int):
            raise UserError(f"{_name(path)}: the value is null, and an element cannot be removed")
        holder.pop(last, None)
        return
    try:
        orjson.dumps(value)
    except TypeError:
        raise UserError(f"{_name(path)}: {value} is beyond 64 bits") from None
    holder[last] = value


def _name(path: tuple[str | int, ...]) -> str:
    return "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in path
    ).removeprefix(".")
