"""Lines of a stream as records, and the answers to what JSON leaves open.

A byte order mark before a record and CRLF are accepted; blank lines are passed over; NaN, invalid
UTF-8, integers beyond 64 bits, more than MAX_DEPTH levels, lines that hold no object and lines over
MAX_LINE are bad lines.
qvl-records(5) tells users.
"""

import itertools
import json
import re
from collections.abc import Iterable, Iterator

import orjson

from qvl.errors import UserError

MAX_LINE = 1 << 28  # 256 MiB: a longer line is no record but a file of another kind
MAX_DEPTH = 254  # orjson reads 1,024 levels and writes so many
_BOM = b"\xef\xbb\xbf"
_TO_DIGITS = bytes(ord("0") if chr(i).isdigit() and i < 128 else ord(" ") for i in range(256))
_LONG_NUMBER = b"0" * 19  # 2**63 has 19 digits
_STRIDE = 9  # of every 9 bytes one: 19 digits in a row show as two digits in a row
_NAN = re.compile(rb"\bNaN\b|\bInfinity\b")


class BadLine(UserError):
    """A line that is no record. `--on-error reject` puts it aside; else it stops the command."""

    def __init__(self, name: str, number: int, reason: str, detail: str, line: bytes) -> None:
        super().__init__(f"{name}:{number}: {detail}")
        self.number, self.reason, self.detail, self.line = number, reason, detail, line


def parse(line: bytes, name: str, number: int) -> dict | None:
    """The record of a line, or None for a blank line."""
    if len(line) > MAX_LINE:
        raise BadLine(name, number, "too-long", f"longer than {MAX_LINE >> 20} MiB", line[:1000])
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if line.startswith(_BOM):  # also amid a stream, where files were joined
            return parse(line[len(_BOM) :], name, number)
        if not line.strip():
            return None
        raise _not_json(line, name, number, error) from None
    if not isinstance(record, dict):
        kind = {list: "a list", str: "a string", type(None): "null", bool: "a boolean"}
        what = kind.get(type(record), "a number")
        raise BadLine(name, number, "not-an-object", f"expected an object, got {what}", line)
    try:
        orjson.dumps(record)  # a hundredth of a record's time: what could not be written stops here
    except TypeError:
        raise _too_deep(line, name, number) from None
    # Looking at every byte would be a tenth of the time that `cat` takes.
    if b"00" in line[::_STRIDE].translate(_TO_DIGITS) and (
        _LONG_NUMBER in line.translate(_TO_DIGITS)
    ):
        _refuse_large_integers(line, name, number)
    return record


def _not_json(line: bytes, name: str, number: int, error: orjson.JSONDecodeError) -> BadLine:
    if "UTF-8" in error.msg:
        return BadLine(name, number, "not-utf-8", "not UTF-8; convert it with iconv", line)
    if _NAN.search(line):
        detail = "NaN and Infinity are not JSON; write null instead"
        return BadLine(name, number, "not-json", detail, line)
    if "depth limit" in error.msg:
        return _too_deep(line, name, number)
    return BadLine(name, number, "not-json", f"not JSON: {error}", line)


def _too_deep(line: bytes, name: str, number: int) -> BadLine:
    return BadLine(name, number, "too-deep", f"nested deeper than {MAX_DEPTH} levels", line)


def _refuse_large_integers(line: bytes, name: str, number: int) -> None:
    """orjson reads an integer beyond 64 bits as a float and loses digits: refuse it instead."""

    def check(digits: str) -> int:
        value = int(digits) if len(digits) < 25 else 1 << 80
        if not -(1 << 63) <= value < 1 << 64:
            detail = f"integer {digits[:24]} is beyond 64 bits; write it as a string"
            raise BadLine(name, number, "integer-too-large", detail, line)
        return value

    json.loads(line, parse_int=check)


def split(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Split blocks at newlines. Linear also where one line spans many blocks."""
    held: list[bytes] = []
    size = 0
    for block in blocks:
        first, newline, rest = block.partition(b"\n")
        held.append(first)
        size += len(first)
        if not newline:
            if size > MAX_LINE:  # reported by parse; the rest of such a file is not worth reading
                break
            continue
        yield b"".join(held)
        *lines, last = rest.split(b"\n")
        yield from lines
        held, size = [last], len(last)
    if size:
        yield b"".join(held)


def elements(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """The elements of one JSON array, else the lines. Holds one element at a time."""
    head = b""
    while not head.strip() and (block := next(blocks, b"")):
        head += block
    blocks = itertools.chain([head], blocks)
    if head.removeprefix(_BOM).lstrip()[:1] == b"[":
        from qvl.io import arrays  # of one command's concern

        return arrays.split(blocks, name)
    return split(blocks)
