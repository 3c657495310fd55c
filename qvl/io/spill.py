"""A queue of lines that overflows to disk.

The file is in $TMPDIR and has no name, so it vanishes with the process, however that ends. It is not
compressed: that would take three times as long, for a file that exists for seconds.
"""

import contextlib
import io
import os
import tempfile
from array import array
from collections.abc import Iterator
from typing import BinaryIO

from qvl.errors import UserError

BLOCK = 1 << 20  # bytes of lines that are written together


@contextlib.contextmanager
def on_disk() -> Iterator[None]:
    """Turn an OSError of a temporary file into a UserError that says what to do."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{tempfile.gettempdir()}: {error.strerror}; set TMPDIR to a folder with more room"
        ) from None


class Spill:
    """A first-in-first-out queue of lines, with at most two blocks of them in memory.

    Lines popped before their block is full never reach the disk. With `keep`, popped lines stay in
    the queue, and `rewind` goes back to the first.
    """

    def __init__(self, block: int = BLOCK, *, keep: bool = False) -> None:
        self.block, self.keep = block, keep
        self._file: BinaryIO | None = None
        self._offsets = array("Q", [0])  # the start of each block on disk, then the end of the last
        self._next = 0  # the block on disk to read next
        self._tail: list[bytes] = []  # newest lines, not on disk
        self._size = 0
        self._taken = 0  # lines popped from the tail, with `keep`
        self._head: Iterator[bytes] = iter(())  # oldest lines

    def push(self, line: bytes) -> None:
        """Add a line, including its newline."""
        self._tail.append(line)
        self._size += len(line)
        if self._size >= self.block:
            self._put()

    def pop(self) -> bytes | None:
        """Remove and return the oldest line; None if the queue is empty."""
        line = next(self._head, None)
        if line is None:
            self._head = self._oldest()
            line = next(self._head, None)
        return line

    def drain(self) -> Iterator[bytes]:
        """Pop and yield all lines, oldest first."""
        while True:
            yield from self._head
            self._head = self._oldest()
            line = next(self._head, None)
            if line is None:
                return
            yield line

    def rewind(self) -> None:
        """Go back to the first line. Needs `keep`."""
        self._head, self._next, self._taken = iter(()), 0, 0

    def _oldest(self) -> Iterator[bytes]:
        if self._next + 1 < len(self._offsets):
            return iter(self._get())
        if self.keep:
            lines = self._tail[self._taken : self._taken + 1]
            self._taken += len(lines)
            return iter(lines)
        lines, self._tail, self._size = self._tail, [], 0
        return iter(lines)

    def _put(self) -> None:
        data = memoryview(b"".join(self._tail))
        at = self._offsets[-1]
        self._offsets.append(at + len(data))
        with on_disk():
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed with the object
            while data:
                done = os.pwrite(self._file.fileno(), data, at)
                data, at = data[done:], at + done
        if self._taken:  # the reader is within these lines
            self._head, self._next = iter(self._tail[self._taken :]), self._next + 1
        self._tail, self._size, self._taken = [], 0, 0

    def _get(self) -> list[bytes]:
        assert self._file is not None
        start, end = self._offsets[self._next], self._offsets[self._next + 1]
        self._next += 1
        parts = []
        while start < end:
            part = os.pread(self._file.fileno(), end - start, start)
            assert part, "a temporary file has shrunk"
            parts.append(part)
            start += len(part)
        return io.BytesIO(b"".join(parts)).readlines()
