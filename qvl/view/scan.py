"""Which records of a block pass a filter and contain a text. It runs in a process of its own: a filter's
regular expression can take forever, and the page goes on meanwhile."""

from array import array
from functools import cached_property
from typing import Any

import orjson

from qvl.errors import UserError
from qvl.streams.expression import Expression
from qvl.streams.functions import Slow
from qvl.view.store import decompressed


class Scan:
    """The function of a worker. Called with a block it returns the places of its lines that match."""

    def __init__(self, where: str, text: str) -> None:
        """where: an expression of qvl select, or "". text: looked for in all texts of a record, but not
        in the names of fields or in data: URIs, and whatever the case; or ""."""
        self.where, self.text = where, text.lower()

    def __call__(self, frame: bytes) -> array:
        """frame: a block of qvl.view.store. UserError where the filter takes too long."""
        block = decompressed(frame)
        lines = block.split(b"\n")[:-1]
        places = self._candidates(block, lines) if self.text else range(len(lines))
        return array("I", [place for place in places if self._matches(orjson.loads(lines[place]))])

    @cached_property
    def _condition(self) -> Expression | None:
        return Expression(self.where) if self.where else None

    @cached_property
    def _needle(self) -> bytes:
        """The text as it stands in a line of JSON."""
        return orjson.dumps(self.text)[1:-1]

    def _candidates(self, block: bytes, lines: list[bytes]) -> list[int]:
        """The lines that contain the text anywhere, found without parsing them."""
        if not self.text.isascii():
            if self.text.upper() == self.text:  # a script without case
                return [place for place, line in enumerate(lines) if self._needle in line]
            return [place for place, line in enumerate(lines) if self.text in line.decode().lower()]
        lowered, found, at, place, counted = block.lower(), [], 0, 0, 0
        while (at := lowered.find(self._needle, at)) >= 0:
            place += lowered.count(b"\n", counted, at)
            counted = at
            found.append(place)
            at = lowered.find(b"\n", at)
        return found

    def _matches(self, record: dict[str, Any]) -> bool:
        if self.text and not _contains(record, self.text):
            return False
        try:
            return self._condition is None or bool(self._condition(record))
        except Slow as error:
            raise UserError(str(error)) from None


def _contains(value: Any, text: str) -> bool:
    """Whether a string of a JSON value contains a text that is in lower case."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        kind = type(each)
        if kind is str:
            if text in each.lower() and not each.startswith("data:"):
                return True
        elif kind is dict:
            waiting += each.values()
        elif kind is list and each and type(each[0]) not in (int, float):
            waiting += each
    return False
