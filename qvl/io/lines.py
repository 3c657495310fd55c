"""Parse the lines of a stream, and decide what JSON leaves open.

A byte order mark before a record and CRLF are accepted, and blank lines are skipped. Bad lines are
those with NaN, invalid UTF-8, an integer beyond 64 bits, more than MAX_DEPTH levels or more than
MAX_LINE bytes, and those that are not an object. qvl-records(5) documents this for users.
"""

import io
import re
from collections.abc import Iterable, Iterator

import orjson

from qvl.errors import UserError

MAX_LINE = 1 << 28  # 256 MiB: a longer line is not a record but some other kind of file
MAX_DEPTH = 254  # orjson reads 1,024 levels but writes only this many
BOM = b"\xef\xbb\xbf"
_TO_DIGITS = bytes(ord("0") if chr(i).isdigit() and i < 128 else ord(" ") for i in range(256))
_STRIDE = 9  # look at every 9th byte: a run of 19 digits, as 2**63 has, shows as a run of two
_DIGITS = b"0123456789"
_RUN = re.compile(rb"[0-9]+")
_NAN = re.compile(rb"\bNaN\b|\bInfinity\b")


class BadLine(UserError):
    """A line that is not a record. It stops the command, or is rejected by `--on-error reject`."""

    def __init__(self, name: str, number: int, reason: str, detail: str, line: bytes) -> None:
        super().__init__(f"{name}:{number}: {detail}")
        self.number, self.reason, self.detail = number, reason, detail
        self.line = line.removesuffix(b"\n")


class AsRead(dict):
    """A record that is as it was read, with its `line`: in normal form, with its newline.

    Normal form is what orjson writes: no spaces, the shortest numbers, each key once. A stage must not
    change such a record in place; a copy of it is a plain dict.
    """

    __slots__ = ("line",)
    line: bytes

    def __reduce__(self) -> tuple:
        """In another process it is a plain dict; the line is the fastest way there."""
        return orjson.loads, (self.line,)


def as_read(line: bytes) -> AsRead:
    """The record of a line that is in normal form, with its newline."""
    return _with_line(orjson.loads(line), line)


def _with_line(record: dict, line: bytes) -> AsRead:
    with_line = AsRead(record)
    with_line.line = line
    return with_line


def parse(line: bytes, name: str, number: int) -> dict | None:
    """Return the record of a line, or None for a blank line. Raises BadLine."""
    record, _ = parse_both(line, name, number)
    return record


def parse_as_read(line: bytes, name: str, number: int) -> AsRead | None:
    """As `parse`, with the line."""
    record, normal = parse_both(line, name, number)
    return None if record is None else _with_line(record, normal)


def parse_both(line: bytes, name: str, number: int) -> tuple[dict | None, bytes]:
    """Return the record of a line, and the line in normal form with its newline. Raises BadLine.

    The record is None for a blank line.
    """
    if len(line) > MAX_LINE:
        raise BadLine(name, number, "too-long", f"longer than {MAX_LINE >> 20} MiB", line[:1000])
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if line.startswith(BOM):  # also inside a stream, where files were joined
            return parse_both(line[len(BOM) :], name, number)
        if not line.strip():
            return None, line
        raise _not_json(line, name, number, _located(line, error)) from None
    if not isinstance(record, dict):
        kind = {list: "a list", str: "a string", type(None): "null", bool: "a boolean"}
        what = kind.get(type(record), "a number")
        detail = f"expected an object, got {what}{_array_hint(line, number)}"
        raise BadLine(name, number, "not-an-object", detail, line)
    # The cheapest look there is, a quarter of the time of loads and less than counting brackets: it
    # refuses what could not be written later, and a line that it reproduces is in order.
    try:
        normal = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        raise _too_deep(line, name, number) from None
    # Neither result is `normal` itself, which keeps a buffer of a kilobyte and more: of small records,
    # hundreds of MiB may wait to be written.
    if normal == line:
        return record, line
    _refuse_large_integers(line, name, number)
    return record, bytes(memoryview(normal))


def _located(line: bytes, error: orjson.JSONDecodeError) -> orjson.JSONDecodeError:
    """The error where the line ends too early: there, and not in the line that its newline begins."""
    try:
        orjson.loads(line.rstrip())
    except orjson.JSONDecodeError as found:
        return found
    return error


def _not_json(line: bytes, name: str, number: int, error: orjson.JSONDecodeError) -> BadLine:
    if "UTF-8" in error.msg:
        return BadLine(name, number, "not-utf-8", "not UTF-8; convert it with iconv", line)
    if _NAN.search(line):
        detail = "NaN and Infinity are not JSON; write null instead"
        return BadLine(name, number, "not-json", detail, line)
    if "depth limit" in error.msg:
        return _too_deep(line, name, number)
    if hint := _array_hint(line, number):
        return BadLine(name, number, "not-json", f"not JSON lines{hint}", line)
    return BadLine(name, number, "not-json", f"not JSON: {error}", line)


def _array_hint(line: bytes, number: int) -> str:
    """What to do with a file that is one JSON array; "" for a line that is none's beginning."""
    if number > 1 or not re.match(rb"\s*\[\s*(\{|$)", line):
        return ""
    return "; an array of records becomes lines with: jq -c '.[]' FILE"


def _too_deep(line: bytes, name: str, number: int) -> BadLine:
    return BadLine(name, number, "too-deep", f"nested deeper than {MAX_DEPTH} levels", line)


def _refuse_large_integers(line: bytes, name: str, number: int) -> None:
    """Raise BadLine for an integer beyond 64 bits, which orjson would read as a float."""
    sample = line[::_STRIDE].translate(_TO_DIGITS)
    quotes, counted = 0, 0  # before the place up to which they are counted
    place = sample.find(b"00")
    while place >= 0:
        at = place * _STRIDE
        before = line[max(0, at - _STRIDE) : at]
        start = at - len(before) + len(before.rstrip(_DIGITS))
        end = _RUN.match(line, at).end()  # type: ignore[union-attr]
        if line[start - 1 : start] == b"-":
            start -= 1
        # What stands outside a string follows one of these; so may a number in a text.
        if line[start - 1] in b":,[ \t\r\n" and _is_large(line, start, end):
            quotes += _quotes(line[counted:start])
            counted = start
            if quotes % 2 == 0:
                digits = line[start : min(end, start + 24)].decode()
                detail = f"integer {digits} is beyond 64 bits; write it as a string"
                raise BadLine(name, number, "integer-too-large", detail, line)
        place = sample.find(b"00", end // _STRIDE + 1)


def _is_large(line: bytes, start: int, end: int) -> bool:
    """Whether the number whose sign and first digits are given is an integer beyond 64 bits."""
    if line[end : end + 1] in (b".", b"e", b"E"):
        return False
    return end - start > 24 or not -(1 << 63) <= int(line[start:end]) < 1 << 64


def _quotes(text: bytes) -> int:
    """The number of quotes that begin or end a string in a part of valid JSON."""
    return text.replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"')


def split(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines, each with its newline. Takes linear time even if one line spans many blocks."""
    held: list[bytes] = []
    size = 0
    for block in filter(None, blocks):
        lines = io.BytesIO(block).readlines()  # at a third of the cost of bytes.split
        if held:
            lines[0] = b"".join([*held, lines[0]]) if lines[0].endswith(b"\n") else lines[0]
        last = b"" if lines[-1].endswith(b"\n") else lines.pop()
        if lines:
            held, size = [], 0
            yield from lines
        if last:
            held.append(last)
            size += len(last)
            if size > MAX_LINE:  # `parse` reports it; the rest of such a file is not worth reading
                break
    if size:
        yield b"".join(held)
