"""Set fields of a record by expressions: 'answer = final(), scores.mine.length = len(answer)'."""

from typing import Any, NamedTuple

import orjson

from qvl.errors import UserError
from qvl.stage import Drop, Run
from qvl.streams.expression import Parser, Value
from qvl.streams.fields import Fields


class Assignment(NamedTuple):
    path: tuple[str, ...]
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
        """NAME ("." NAME | "[" STRING "]")* "=" or ("," ...)*"""
        found = [self.assignment()]
        while self.accept(","):
            found.append(self.assignment())
        if self.next.kind != "end":
            self.fail(f"unexpected {self.next.text!r}; assignments are joined with commas")
        return found

    def assignment(self) -> Assignment:
        if self.next.kind != "name":
            self.fail('expected a field to set, as in task = "vqa"')
        path = [self.take().text]
        while self.next.text != "=":
            if self.next.text not in (".", "["):
                self.fail(f"expected = after the field, found {self.next.text!r}")
            step = self.step()
            if not isinstance(step, str):
                self.fail("only fields of objects can be set, not elements of lists")
            path.append(step)
        self.take()
        return Assignment(tuple(path), self.either())


def _put(record: dict, path: tuple[str, ...], value: Any) -> None:
    """Set a field in place, and copy the objects above it, which may belong to the original."""
    if path == ("id",) and not (isinstance(value, str) and value):
        raise UserError("id: expected a string that is not empty")
    *above, last = path
    for depth, name in enumerate(above):
        inner = record.get(name)
        if inner is None:
            if value is None:
                return
            inner = {}
        if not isinstance(inner, dict):
            raise UserError(f"{'.'.join(path[: depth + 1])} is not an object, so it has no {last}")
        record[name] = dict(inner)
        record = record[name]
    if value is None:
        record.pop(last, None)
        return
    try:
        orjson.dumps(value)
    except TypeError:
        raise UserError(f"{'.'.join(path)}: {value} is beyond 64 bits") from None
    record[last] = value
