"""Parse the lines of a stream, and decide what JSON leaves open.

A byte order mark before a record and CRLF are accepted, and blank lines are skipped. Bad lines are
those with NaN, invalid UTF-8, an integer beyond 64 bits, more than MAX_DEPTH levels or more than
MAX_LINE bytes, and those that are not an object. qvl-records(5) documents this for users.
"""

import json
import re
from collections.abc import Iterable, Iterator

import orjson

from qvl.errors import UserError

MAX_LINE = 1 << 28  # 256 MiB: a longer line is not a record but some other kind of file
MAX_DEPTH = 254  # orjson reads 1,024 levels but writes only this many
BOM = b"\xef\xbb\xbf"
_TO_DIGITS = bytes(ord("0") if chr(i).isdigit() and i < 128 else ord(" ") for i in range(256))
_LONG_NUMBER = b"0" * 19  # 2**63 has 19 digits
_STRIDE = 9  # look at every 9th byte: a run of 19 digits shows as a run of two
_NAN = re.compile(rb"\bNaN\b|\bInfinity\b")


class BadLine(UserError):
    """A line that is not a record. It stops the command, or is rejected by `--on-error reject`."""

    def __init__(self, name: str, number: int, reason: str, detail: str, line: bytes) -> None:
        super().__init__(f"{name}:{number}: {detail}")
        self.number, self.reason, self.detail, self.line = number, reason, detail, line


def parse(line: bytes, name: str, number: int) -> dict | None:
    """Return the record of a line, or None for a blank line. Raises BadLine."""
    if len(line) > MAX_LINE:
        raise BadLine(name, number, "too-long", f"longer than {MAX_LINE >> 20} MiB", line[:1000])
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if line.startswith(BOM):  # also inside a stream, where files were joined
            return parse(line[len(BOM) :], name, number)
        if not line.strip():
            return None
        raise _not_json(line, name, number, error) from None
    if not isinstance(record, dict):
        kind = {list: "a list", str: "a string", type(None): "null", bool: "a boolean"}
        what = kind.get(type(record), "a number")
        raise BadLine(name, number, "not-an-object", f"expected an object, got {what}", line)
    try:
        orjson.dumps(record)  # 1 % of a record's time: refuse now what could not be written later
    except TypeError:
        raise _too_deep(line, name, number) from None
    # Looking at every byte would take 10 % of the time of `cat`.
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
    """Raise BadLine for an integer beyond 64 bits, which orjson would read as a float."""

    def check(digits: str) -> int:
        value = int(digits) if len(digits) < 25 else 1 << 80
        if not -(1 << 63) <= value < 1 << 64:
            detail = f"integer {digits[:24]} is beyond 64 bits; write it as a string"
            raise BadLine(name, number, "integer-too-large", detail, line)
        return value

    json.loads(line, parse_int=check)


def split(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Split blocks at newlines. Takes linear time even if one line spans many blocks."""
    held: list[bytes] = []
    size = 0
    for block in blocks:
        first, newline, rest = block.partition(b"\n")
        held.append(first)
        size += len(first)
        if not newline:
            if size > MAX_LINE:  # `parse` reports it; the rest of such a file is not worth reading
                break
            continue
        yield b"".join(held)
        *lines, last = rest.split(b"\n")
        yield from lines
        held, size = [last], len(last)
    if size:
        yield b"".join(held)
