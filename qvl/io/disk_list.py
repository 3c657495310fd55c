"""A list of texts on disk: 8 bytes of memory a text, for those that are rarely looked up."""

import os
import tempfile
from array import array
from typing import BinaryIO

from qvl.io.spill import on_disk

BLOCK = 1 << 16  # bytes that are written together


class DiskList:
    """Texts by their number from 0. The file is in $TMPDIR and vanishes with the process."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._ends = array("Q")
        self._tail = bytearray()  # newest texts, not on disk
        self._written = 0

    def __len__(self) -> int:
        return len(self._ends)

    def append(self, text: str) -> None:
        self._tail += text.encode("utf-8", "surrogatepass")
        self._ends.append(self._written + len(self._tail))
        if len(self._tail) >= BLOCK:
            self._flush()

    def __getitem__(self, number: int) -> str:
        start = self._ends[number - 1] if number else 0
        end = self._ends[number]
        if start >= self._written:
            data = bytes(self._tail[start - self._written : end - self._written])
        else:
            assert self._file is not None
            data = os.pread(self._file.fileno(), end - start, start)
        return data.decode("utf-8", "surrogatepass")

    def _flush(self) -> None:
        with on_disk():
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed with the object
            data = memoryview(bytes(self._tail))
            while data:
                done = os.pwrite(self._file.fileno(), data, self._written)
                data = data[done:]
                self._written += done
        self._tail.clear()
