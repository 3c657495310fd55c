"""Files that hold one JSON array of records, as LLaVA and LLaMA-Factory keep their data sets."""

import itertools
import re
from collections.abc import Iterable, Iterator

from qvl.errors import UserError
from qvl.io import jsonl, lines

# Possessive, so that an incomplete text fails at once. Brackets inside strings do not count.
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + STRING + rb")*+([\[\]{}])", re.DOTALL)
BORDER = re.compile(rb'(?:[^"\[\]{},]++|' + STRING + rb")*+([\[\]{},])", re.DOTALL)


def split(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yield the text of each element. UserError if the array is incomplete or not alone.

    Only brackets, commas and quotes are looked at, so memory holds one element and one block.
    Whether an element is valid JSON is left to its reader.
    """
    rest, depth, number = b"", 0, 0
    scanned = 0  # how much of `rest` has been searched
    source = iter(blocks)
    while block := _take(source, len(rest) // 2):
        text, start, at = rest + block, 0, scanned
        while found := (BORDER if depth <= 1 else BRACKET).match(text, at):
            at, mark = found.end(), found[1]
            if depth == 1 and mark in b",]":
                element, start = text[start : at - 1].strip(), at
                if element:
                    number += 1
                    yield element
            if mark in b"[{":
                depth += 1
                start = at if depth == 1 else start
            elif mark in b"]}":
                depth -= 1
                if depth == 0:
                    if text[at:].strip() or any(more.strip() for more in source):
                        raise UserError(f"{name}: something follows the array")
                    return
        rest, scanned = text[start:], at - start
        if len(rest) > lines.MAX_LINE:
            raise UserError(
                f"{name}: element {number + 1} of its array is longer than {lines.MAX_LINE >> 20} "
                "MiB; is a quote or a bracket missing?"
            )
    raise UserError(f"{name}: cut short after element {number} of its array")


def _take(source: Iterator[bytes], least: int) -> bytes:
    """Return blocks of at least `least` bytes in all, so that a long element is searched only a few
    times. b"" at the end."""
    found: list[bytes] = []
    size = 0
    for block in source:
        found.append(block)
        size += len(block)
        if size >= least and size:
            break
    return b"".join(found)


class Reader(jsonl.Reader):
    """Reads records from files that hold one JSON array each, or JSONL."""

    def split(self, content: Iterator[bytes], name: str) -> Iterator[bytes]:
        """Yield the elements of an array, or else lines. Memory holds one element."""
        head = b""
        while not head.strip() and (block := next(content, b"")):
            head += block
        content = itertools.chain([head], content)
        if head.removeprefix(lines.BOM).lstrip()[:1] == b"[":
            return split(content, name)
        return super().split(content, name)


class Writer:
    """Writes one JSON array, complete or not at all; used like jsonl.Writer. It holds no lineage."""

    def __init__(self, path: str) -> None:
        self._lines = jsonl.Writer(path, plain=True)
        self._first = True

    def write(self, row: dict) -> None:
        self._lines.write_bytes((b"[\n" if self._first else b",\n") + jsonl.encode(row)[:-1])
        self._first = False

    def commit(self, entry: dict | None = None) -> None:
        self.finish()
        self.seal(entry)
        self.publish()

    def finish(self) -> None:
        self._lines.write_bytes(b"[]\n" if self._first else b"\n]\n")
        self._lines.finish()

    def seal(self, entry: dict | None = None) -> None:
        self._lines.seal()

    def publish(self) -> None:
        self._lines.publish()

    def abort(self) -> None:
        self._lines.abort()
