"""Lines by their number, in a scratch file of compressed blocks.

A stream of records is one zstd frame as a rule, which can only be read from its start. So it is read once,
and written to blocks that can be read each on its own: memory holds two numbers per block, and the disk as
much as the compressed stream. The file is in $TMPDIR and has no name, so it vanishes with the process.
"""

import bisect
import os
import tempfile
import threading
from array import array
from collections import OrderedDict
from typing import BinaryIO

import zstandard

from qvl.io.spill import on_disk

BLOCK = 1 << 18  # bytes of lines that are compressed together: what reading one of them costs
LEVEL = 1  # the scratch file lives for minutes
KEPT = 16  # decompressed blocks in memory
MAX_KEPT = 1 << 20  # bytes of such a block; larger ones hold one record or two, with images


class Store:
    """Lines, each with its newline. One thread appends; any number of threads read meanwhile."""

    def __init__(self, block: int = BLOCK) -> None:
        self.block = block
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._file: BinaryIO | None = None
        self._offsets = array(
            "Q", [0]
        )  # the start of each block in the file, then the end of the last
        self._firsts = array("Q")  # the number of the first line of each block
        self._tail: list[bytes] = []  # newest lines, not in the file
        self._tail_first = self._tail_size = 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._tail_first + len(self._tail)

    @property
    def num_blocks(self) -> int:
        """The number of complete blocks."""
        return len(self._firsts)

    def append(self, line: bytes) -> None:
        self._tail.append(line)
        self._tail_size += len(line)
        if self._tail_size >= self.block:
            self.flush()

    def flush(self) -> None:
        """Complete the last block, at the end of the stream."""
        if not self._tail:
            return
        data = self._compressor.compress(b"".join(self._tail))
        with on_disk():
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed with the object
            at, left = self._offsets[-1], memoryview(data)
            while left:
                done = os.pwrite(self._file.fileno(), left, at)
                at, left = at + done, left[done:]
        with self._lock:
            self._firsts.append(self._tail_first)
            self._offsets.append(at)
            self._tail_first += len(self._tail)
            self._tail, self._tail_size = [], 0

    def __getitem__(self, number: int) -> bytes:
        with self._lock:
            count = len(self)
            if not 0 <= number < count:
                raise IndexError(number)
            if number >= self._tail_first:
                return self._tail[number - self._tail_first]
            index = bisect.bisect_right(self._firsts, number) - 1
            first = self._firsts[index]
        return self._lines(index)[number - first]

    def end(self, index: int) -> int:
        """The number of lines up to the end of a block."""
        with self._lock:
            after = index + 1
            return self._firsts[after] if after < len(self._firsts) else self._tail_first

    def compressed(self, index: int) -> tuple[int, bytes]:
        """The number of a block's first line, and the block as a zstd frame."""
        with self._lock:
            start, end = self._offsets[index], self._offsets[index + 1]
            file, first = self._file, self._firsts[index]
        assert file is not None
        parts = []
        while start < end:
            part = os.pread(file.fileno(), end - start, start)
            assert part, "a scratch file has shrunk"
            parts.append(part)
            start += len(part)
        return first, b"".join(parts)

    def _lines(self, index: int) -> list[bytes]:
        """The lines of a block. The text is kept, not the lines: they are large objects and many."""
        with self._lock:
            text = self._kept.pop(index, None)
        if text is None:
            text = decompressed(self.compressed(index)[1])
        if len(text) <= MAX_KEPT:
            with self._lock:
                self._kept[index] = text
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return text.splitlines(keepends=True)


def decompressed(frame: bytes) -> bytes:
    """The text of a block."""
    return zstandard.ZstdDecompressor().decompress(frame)
