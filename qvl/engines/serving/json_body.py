"""The JSON of a body that may be large, parsed in short steps while it arrives.

A parser such as orjson holds the interpreter, and all requests with it, until it has parsed the whole: a
second or more for a video of 200 MB. But nearly all of a large body is long strings. These are decoded here
piece by piece, and orjson parses what remains at the end, with a mark in the place of each.
"""

import re
import secrets
from typing import Any

import orjson

PIECE = 1 << 14  # bytes that are parsed in a step; a string that does not fit is a long one
JOINED = 1 << 20  # characters of a long string that are added to it at a time
MAX_REST = 1 << 25  # bytes of a body without its long strings
MAX_VALUES = 1 << 21  # of it, by its commas and brackets: Python objects are large
MAX_WIDE = 1 << 24  # characters of a string that is not ASCII, where one may take four bytes

# Text outside of strings, and whole strings; it ends before a string that has no end within the piece.
_WHOLE = re.compile(rb'[^"]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"]*+)*+', re.DOTALL)
# The inside of a string; it ends before the quote, or before an escape or a pair of surrogates that is cut.
_INSIDE = re.compile(
    rb'(?:[^"\\]++|\\["\\/bfnrt]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}'
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4})*+"
)


class NotJson(ValueError):
    """What is wrong with a body."""


class TooLarge(ValueError):
    """Which limit a body exceeds."""


class JsonBody:
    """A body in the making: `feed` it as it arrives, then `finish`. Both raise NotJson and TooLarge."""

    def __init__(self) -> None:
        self._buffer = bytearray()  # not parsed yet
        self._rest = bytearray()  # the body with marks in the place of long strings
        self._values = 0
        self._mark = secrets.token_hex(16)  # which a client cannot guess
        self._strings: dict[str, str] = {}  # the long strings by their marks
        self._text: str | None = None  # of the long string in progress, as far as it is joined
        self._pieces: list[str] = []  # of it, after that

    def feed(self, content: bytes) -> None:
        """Parse the next bytes of the body, but for the last few."""
        self._buffer += content
        while len(self._buffer) > PIECE:
            self._step()

    def finish(self) -> Any:
        """The value, once the body is complete."""
        while self._text is not None:
            self._step()
        self._keep(len(self._buffer))
        try:
            value = orjson.loads(self._rest)
        except orjson.JSONDecodeError as error:  # its position is that in what remains
            raise NotJson(error.msg if self._strings else str(error)) from None
        return self._restored(value) if self._strings else value

    def _step(self) -> None:
        """Parse PIECE bytes of the buffer or less, at least one."""
        if self._text is not None:
            self._continue_string()
        elif end := _end(_WHOLE, self._buffer):
            self._keep(end)
        else:
            self._text = ""
            del self._buffer[:1]

    def _keep(self, length: int) -> None:
        """Leave the next bytes to orjson."""
        piece = self._buffer[:length]
        del self._buffer[:length]
        self._rest += piece
        self._values += piece.count(b",") + piece.count(b"[") + piece.count(b"{")
        if self._values > MAX_VALUES:
            raise TooLarge(f"more than {MAX_VALUES:,} JSON values")
        if len(self._rest) > MAX_REST:
            raise TooLarge(
                f"more than {MAX_REST >> 20} MiB beside its strings of more than {PIECE >> 10} KiB"
            )

    def _continue_string(self) -> None:
        """Decode a piece of the long string, up to its end or to the last whole character."""
        end = self._buffer.find(b'"', 0, PIECE)
        end = end if end >= 0 else min(PIECE, len(self._buffer))
        if self._buffer.find(b"\\", 0, end) >= 0:
            end = _end(_INSIDE, self._buffer)
        is_closed = self._buffer[end : end + 1] == b'"'
        while not is_closed and 0 < end < len(self._buffer) and self._buffer[end] & 0xC0 == 0x80:
            end -= 1  # within a character of several bytes
        if not is_closed and not end:
            raise NotJson("a string has no end, or an escape that is none")
        try:
            self._pieces.append(orjson.loads(b'"%b"' % self._buffer[:end]))
        except orjson.JSONDecodeError as error:
            raise NotJson(error.msg) from None
        del self._buffer[: end + is_closed]
        if is_closed or sum(map(len, self._pieces)) > JOINED:
            self._join()
        if is_closed:
            mark = f"{self._mark}{len(self._strings)}"
            self._strings[mark], self._text = self._text or "", None
            self._rest += b'"%b"' % mark.encode()

    def _join(self) -> None:
        piece, text = "".join(self._pieces), self._text or ""
        if len(text) + len(piece) > MAX_WIDE and not (text.isascii() and piece.isascii()):
            raise TooLarge(
                f"a string of more than {MAX_WIDE >> 20} Mi characters that is not ASCII"
            )
        self._text = None  # the only reference is `text`, which CPython then extends in place
        text += piece
        self._text = text
        self._pieces.clear()

    def _restored(self, value: Any) -> Any:
        """The value with the long strings in the place of their marks."""
        strings = self._strings
        whole = [value]
        waiting: list[Any] = [whole]
        while waiting:
            holder = waiting.pop()
            is_list = isinstance(holder, list)
            for key, each in enumerate(holder) if is_list else holder.items():
                if isinstance(each, str):
                    holder[key] = strings.get(each, each)
                elif isinstance(each, list | dict):
                    waiting.append(each)
            if not is_list and not strings.keys().isdisjoint(holder):
                raise TooLarge(f"a key of more than {PIECE >> 10} KiB")
        return whole[0]


def _end(pattern: "re.Pattern[bytes]", buffer: bytearray) -> int:
    """How much of the next piece the pattern matches."""
    match = pattern.match(buffer, 0, PIECE)
    assert match  # both patterns match an empty text
    return match.end()
