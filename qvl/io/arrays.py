"""One big JSON array, element by element: how LLaVA, LLaMA-Factory and others keep data sets."""

import re
from collections.abc import Iterable, Iterator

from qvl.errors import UserError
from qvl.io import jsonl, lines

# Possessive, so that what ends in the middle fails at once. A string hides what is in it.
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + STRING + rb")*+([\[\]{}])", re.DOTALL)
BORDER = re.compile(rb'(?:[^"\[\]{},]++|' + STRING + rb")*+([\[\]{},])", re.DOTALL)


def split(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yield the text of each element. UserError where the array is cut or something follows it.

    Elements are told apart by brackets and quotes alone, so memory holds one element and one block;
    whether an element is good JSON is for its reader to say.
    """
    rest, depth, number = b"", 0, 0
    scanned = 0  # how far `rest` has been looked through
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
    """One block, or as many as make `least` bytes: a long element is looked through a few times."""
    found: list[bytes] = []
    size = 0
    for block in source:
        found.append(block)
        size += len(block)
        if size >= least and size:
            break
    return b"".join(found)


class Writer:
    """Writes one JSON array, whole or not at all, with the face of jsonl.Writer. It has no lineage."""

    def __init__(self, path: str) -> None:
        self._lines = jsonl.Writer(path, plain=True)
        self._first = True

    def write(self, row: dict) -> None:
        self._lines.write_bytes((b"[\n" if self._first else b",\n") + jsonl.encode(row)[:-1])
        self._first = False

    def commit(self, entry: dict | None = None) -> None:
        self._lines.write_bytes(b"[]\n" if self._first else b"\n]\n")
        self._lines.commit()

    def abort(self) -> None:
        self._lines.abort()
