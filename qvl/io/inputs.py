"""The bytes of an input: a file, a pipe or standard input, in blocks as they arrive."""

import contextlib
import itertools
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from qvl.errors import UserError

BLOCK = 1 << 17  # bytes read at a time


def display_name(path: str) -> str:
    """The name of an input in messages; a byte of it that is not UTF-8 as \\xff."""
    if path == "-":
        return "<stdin>"
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "backslashreplace")


def open_input(path: str) -> contextlib.AbstractContextManager[BinaryIO]:
    """Open `path` for reading; "-" is standard input. UserError if it cannot be opened."""
    if path == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    try:
        return Path(path).open("rb", buffering=0)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def blocks(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield what the file has ready, until its end. `name` is for errors."""
    while True:
        try:
            block = os.read(file.fileno(), BLOCK)
        except OSError as error:
            raise UserError(f"{name}: {error.strerror}") from None
        if not block:
            return
        yield block


def peek(source: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first four bytes (fewer at the end of the input), and all blocks including them."""
    first = b""
    while len(first) < 4 and (more := next(source, b"")):
        first += more
    return first[:4], itertools.chain([first] if first else [], source)


def total_size(paths: Sequence[str]) -> int | None:
    """The bytes of all inputs together; None if one is not a regular file."""
    total = 0
    for path in paths:
        try:
            status = os.fstat(0) if path == "-" else Path(path).stat()
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        total += status.st_size
    return total
