"""One big JSON array, element by element: how LLaVA, LLaMA-Factory and others keep data sets."""

import re
from collections.abc import Iterable, Iterator

from qvl.errors import UserError
from qvl.io import jsonl

# A string hides what is in it; a quote alone is a string whose end has not been read yet.
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},"]', re.DOTALL)


def split(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yield the text of each element. UserError where the array is cut or something follows it.

    Elements are told apart by brackets and quotes alone, so memory holds one element and one block;
    whether an element is good JSON is for its reader to say.
    """
    rest, depth, number = b"", 0, 0
    scanned = 0  # how far `rest` has been looked through
    source = iter(blocks)
    for block in source:
        text, start, at = rest + block, 0, scanned
        while token := TOKEN.search(text, at):
            if token[0] == b'"':
                at = token.start()
                break
            at = token.end()
            if depth == 1 and token[0] in (b",", b"]"):
                element, start = text[start : token.start()].strip(), at
                if element:
                    number += 1
                    yield element
            if token[0] in (b"[", b"{"):
                depth += 1
                start = at if depth == 1 else start
            elif token[0] in (b"]", b"}"):
                depth -= 1
                if depth == 0:
                    if text[at:].strip() or any(more.strip() for more in source):
                        raise UserError(f"{name}: something follows the array")
                    return
        else:
            at = len(text)
        rest, scanned = text[start:], at - start
    raise UserError(f"{name}: cut short after element {number} of its array")


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
