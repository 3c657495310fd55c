"""The finished work of an interrupted run, a row per input record, for `--resume`.

A journal is `OUTPUT.journal`: zstd frames of JSON lines. A frame is closed every second, so kill -9
loses at most one second of work. The first row is the hash of the configuration. The others are in
the order of the input and hold the hash of their record: on resuming they are read in step with the
input, in constant memory, and a mismatch is an error rather than a wrong result.
"""

import contextlib
import fcntl
import hashlib
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import zstandard

from qvl.errors import UserError
from qvl.io import frames, lines

FLUSH_SECONDS = 1.0
FLUSH_BYTES = 4 << 20  # a fast command writes more than this per second; keeps memory flat


def key(value: Any) -> str:
    """Return a short hash of a record or a configuration, the same in every process."""
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(data, digest_size=12).hexdigest()


class Journal:
    """Rows of finished work, beside an output that is not complete yet."""

    def __init__(self, output: str, config: dict, resume: bool) -> None:
        self.path = Path(output + ".journal")
        self.replayed = 0
        head = {"config": key(config)}
        self._file = _locked(self.path)
        try:
            self._begin(head, resume)
        except BaseException:
            self._file.close()
            raise

    def _begin(self, head: dict, resume: bool) -> None:
        end, rows = _complete(self.path)
        self._empty = not end or len([*itertools.islice(_rows(self.path, end), 2)]) < 2
        if self._empty:  # of a run that failed before its first result: nothing to continue or lose
            end, rows = 0, iter(())
        if end and not resume:
            raise UserError(
                f"{self.path}: left by an interrupted run; continue with --resume, or remove it"
            )
        if end and next(rows, None) != head:
            raise UserError(f"{self.path}: made with other flags; use the same flags, or remove it")
        self._rows = rows
        self._file.truncate(end)
        self._file.seek(end)
        self._lines: list[bytes] = []
        self._bytes = 0
        self._flushed = time.monotonic()
        if not end:
            self._append(head)
            self.flush()

    def replay(self, record: dict) -> dict | None:
        """Return the interrupted run's row of this record; None after its last row."""
        row = next(self._rows, None)
        if row is None:
            return None
        if row["key"] != key(record):
            raise UserError(
                f"{self.path}: record {self.replayed + 1} of the input has changed; "
                "use the same input, or remove the journal"
            )
        self.replayed += 1
        return row

    def add(self, record: dict, row: dict) -> None:
        """Store the result of `record`."""
        self._empty = False
        self._append({"key": key(record), **row})
        if self._bytes > FLUSH_BYTES or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the rows so far as one frame."""
        if self._lines:
            self._file.write(zstandard.ZstdCompressor(level=1).compress(b"".join(self._lines)))
            self._file.flush()
            self._lines.clear()
            self._bytes = 0
        self._flushed = time.monotonic()

    def close(self, done: bool) -> None:
        """Keep the journal for --resume; remove it if the output is complete or it has no results."""
        self.flush()
        if done or self._empty:
            self.path.unlink()  # while it is locked, so that the next run does not take it
        self._file.close()

    def _append(self, row: dict) -> None:
        line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        self._lines.append(line)
        self._bytes += len(line)


def _locked(path: Path) -> BinaryIO:
    """The journal, created if absent, locked for this run. UserError while another run has it.

    The system drops the lock with the process, however it ends.
    """
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        mine = os.fstat(file.fileno())
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            holder = _holder(mine.st_ino)
            raise UserError(f"{path}: {holder} is writing it; wait for its end") from None
        except OSError:  # a file system without locks
            return file
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == mine.st_ino:
                return file
        file.close()  # the run before completed and removed it in the meantime


def _holder(inode: int) -> str:
    """Which process has locked a file, as Linux lists it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if "FLOCK" in words and words[-3].endswith(f":{inode}"):
                return f"process {words[-4]}"
    return "another run"


def _complete(path: Path) -> tuple[int, Iterator[dict]]:
    """Return the end of the last complete frame, and the rows up to it."""
    end, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while end < size and (length := _frame_length(file, end)):
            end += length
    return end, _rows(path, end)


def _frame_length(file: Any, start: int) -> int:
    """Return the bytes of the frame at `start`; 0 if it is incomplete."""
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

        yield from map(orjson.loads, lines.split(frames.decode(chunks())))
