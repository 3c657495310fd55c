"""What an interrupted run had done: one row an input record, so that `--resume` need not pay twice.

A journal is `OUTPUT.journal`: plain zstd frames of JSON lines, each frame closed within a second, so
that kill -9 loses at most that second. Its first row is the configuration's hash. Rows follow the
input's order and name the record's hash: on resuming they are read in step with the input, in
constant memory, and any difference is an error rather than a wrong result.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import zstandard

from qvl.errors import UserError
from qvl.io import frames

FLUSH_SECONDS = 1.0
FLUSH_BYTES = 4 << 20  # a quick command writes more than that in a second; memory stays flat


def key(value: Any) -> str:
    """A short hash of a record or a configuration, the same in every process."""
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(data, digest_size=12).hexdigest()


class Journal:
    """Rows of finished work beside an output that is not finished yet."""

    def __init__(self, output: str, config: dict, resume: bool) -> None:
        self.path = Path(output + ".journal")
        self.replayed = 0
        head = {"config": key(config)}
        whole, rows = _whole(self.path) if self.path.exists() else (0, iter(()))
        if whole and not resume:
            raise UserError(
                f"{self.path}: an interrupted run left this; go on with --resume, or remove it"
            )
        if whole and next(rows, None) != head:
            raise UserError(
                f"{self.path}: it was made with other flags; use the same, or remove it"
            )
        self._rows = rows
        self._file = self.path.open("r+b" if whole else "wb")
        self._file.truncate(whole)
        self._file.seek(whole)
        self._lines: list[bytes] = []
        self._bytes = 0
        self._flushed = time.monotonic()
        if not whole:
            self._append(head)
            self.flush()

    def replay(self, record: dict) -> dict | None:
        """The row of this input record from the interrupted run, or None when it did not get there."""
        row = next(self._rows, None)
        if row is None:
            return None
        if row["key"] != key(record):
            raise UserError(
                f"{self.path}: record {self.replayed + 1} of the input is not the one it was; "
                "give the same input, or remove the journal"
            )
        self.replayed += 1
        return row

    def add(self, record: dict, row: dict) -> None:
        """Remember what became of `record`."""
        self._append({"key": key(record), **row})
        if self._bytes > FLUSH_BYTES or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._lines:
            self._file.write(zstandard.ZstdCompressor(level=1).compress(b"".join(self._lines)))
            self._file.flush()
            self._lines.clear()
            self._bytes = 0
        self._flushed = time.monotonic()

    def close(self, done: bool) -> None:
        """Keep the journal for --resume, or remove it because the output is whole."""
        self.flush()
        self._file.close()
        if done:
            self.path.unlink()

    def _append(self, row: dict) -> None:
        line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        self._lines.append(line)
        self._bytes += len(line)


def _whole(path: Path) -> tuple[int, Iterator[dict]]:
    """Where the last whole frame ends, and the rows up to there."""
    end, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while end < size and (length := _frame_length(file, end)):
            end += length
    return end, _rows(path, end)


def _frame_length(file: Any, start: int) -> int:
    """Bytes of the frame that begins at `start`, or 0 where it is not whole."""
    file.seek(start)
    frame, taken = zstandard.ZstdDecompressor().decompressobj(), 0
    while chunk := file.read(1 << 16):
        try:
            frame.decompress(chunk)
        except zstandard.ZstdError:
            return 0
        taken += len(chunk)
        if frame.eof:
            return taken - len(frame.unused_data)
    return 0


def _rows(path: Path, end: int) -> Iterator[dict]:
    with path.open("rb", buffering=0) as file:

        def chunks() -> Iterator[bytes]:
            left = end
            while left and (chunk := os.read(file.fileno(), min(left, 1 << 16))):
                left -= len(chunk)
                yield chunk

        rest = b""
        for block in frames.decode(chunks()):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield orjson.loads(line)
