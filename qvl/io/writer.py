"""Write a stream of records: JSONL, zstd or plain, complete or not at all.

A thread compresses and writes what is ready, beside the work of the command, and flushes each second.
"""

import contextlib
import os
import queue
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import zstandard

from qvl.errors import UserError
from qvl.io import atomic, lineage, lines
from qvl.io.lines import AsRead

# Bytes of lines that are joined before they are compressed. Each switch between parsing and compressing
# costs what is in the processor's caches: blocks of 256 KiB take a tenth more time, of 4 MiB no less.
BLOCK = 1 << 20
SMALL_BLOCK = 1 << 18  # for outputs that are many
AHEAD = 1  # blocks that may wait for the thread
FLUSH_SECONDS = 1.0  # a slow stage must not starve the next
PIPE_LEVEL = 1  # a pipe's bytes live for milliseconds: the fastest level that still shrinks them
# A file is written once and kept: a tenth smaller than level 1, and at most 4 % larger than level 3, which
# takes a quarter longer. Found by search on chat records, prose and code.
FILE = {"strategy": zstandard.STRATEGY_FAST, "hash_log": 17, "chain_log": 16, "min_match": 7}
FILE |= {"window_log": 21, "search_log": 1, "target_length": 0}
PLAIN_NAMES = (".jsonl", ".json")
CORES = len(os.sched_getaffinity(0))


def encode(record: dict) -> bytes:
    """The record as one line. UserError if it is nested too deeply."""
    if type(record) is AsRead:
        return record.line
    try:
        # Not by orjson's option: its bytes keep a buffer of a kilobyte and more, the sum's are exact.
        return orjson.dumps(record) + b"\n"
    except TypeError as error:
        if "ecursion" in str(error):
            raise UserError(
                f"record {record.get('id')!r}: nested deeper than {lines.MAX_DEPTH} levels"
            ) from None
        raise


class Writer:
    """Writes one stream. As a context it commits on a normal exit and aborts on an exception.

    The stream is zstd, but plain JSON to a terminal, to a file of PLAIN_NAMES, or if `plain`. A file appears complete or not at
    all. A frame ends only on commit, so a reader sees the stream of a failed stage as cut short.
    """

    def __init__(self, path: str = "-", *, plain: bool = False, block: int = BLOCK) -> None:
        """block: bytes of lines that are compressed together, of which up to three blocks wait."""
        self.path, self.count = path, 0
        self.name = "<stdout>" if path == "-" else path
        self._lines: list[bytes] = []
        self._size = 0
        self._lock = threading.Lock()  # of the lines, between this thread and that which writes
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._done = False
        self._file, self._partial, live = _create(path)
        try:
            self._live = live
            self._plain = plain or self._file.isatty() or path.endswith(PLAIN_NAMES)
            self._block = 1 if self._file.isatty() else block
            self._zstd = None if self._plain else _compressor(live)
            if live:
                # Open the frame now: a reader takes an empty input for a failed stage.
                self._compress([], zstandard.COMPRESSOBJ_FLUSH_BLOCK)
                self._start()
        except BaseException:  # a signal may arrive between any two lines
            self.abort()
            raise

    def write(self, record: dict) -> None:
        self.write_bytes(record.line if type(record) is AsRead else encode(record))
        self.count += 1

    def write_with(self, record: dict, name: str, value: Any) -> None:
        """Write the record with one more field, or another value of it."""
        if type(record) is not AsRead or name in record or not record:
            self.write({**record, name: value})
            return
        field = encode({name: value})
        self.write_bytes(record.line[:-2] + b"," + field[1:])
        self.count += 1

    def write_bytes(self, line: bytes) -> None:
        """Write a line that is encoded already."""
        self._lines.append(line)
        self._size += len(line)
        if self._size >= self._block:
            self._hand_over()
        if self._failure:
            raise self._failure

    def commit(self, entry: dict | None = None) -> None:
        """Close the frame, add the lineage `entry`, and rename the file to its path."""
        self.finish()
        self.seal(entry)
        self.publish()

    def finish(self) -> None:
        """Close the frame: no further records, and a complete stream for readers."""
        if self._thread:
            self._blocks.put(None)
            self._thread.join()
            self._thread = None
        if self._failure:
            raise self._failure
        self._compress(self._lines, zstandard.COMPRESSOBJ_FLUSH_FINISH)
        self._lines.clear()
        self._zstd = None  # holds megabytes, and hundreds of files may wait for `seal`

    def seal(self, entry: dict | None = None) -> None:
        """After `finish`: add the lineage `entry`. Everything is then on disk, under a temporary name."""
        if entry is not None and not self._plain:
            self._put(lineage.frame(entry))
        if self._partial:
            with _named(self.name):
                os.fsync(self._file.fileno())

    def publish(self) -> None:
        """After `seal`: rename the file to its path."""
        if self._partial:
            with _named(self.name):
                self._partial.commit()

    def abort(self) -> None:
        """Discard the file. A pipe is left with an open frame, which readers report as cut short."""
        self._done = True
        if self._partial:
            if self._thread:
                self._blocks.put(None)
                self._thread.join()
            self._partial.discard()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.abort()
            return
        try:
            self.commit()
        except BaseException:
            self.abort()
            raise

    def _hand_over(self) -> None:
        """Give the lines to the thread, and wait if it is behind."""
        if not self._thread:
            if CORES == 1:
                self._compress(self._take())
                self._size = 0
                return
            self._start()
        self._slots.get()
        with self._lock:
            self._blocks.put(self._take())
        self._size = 0

    def _take(self) -> list[bytes]:
        taken = self._lines[:]
        del self._lines[: len(taken)]  # a line may have been added since
        return taken

    def _start(self) -> None:
        self._blocks: queue.SimpleQueue[list[bytes] | None] = queue.SimpleQueue()
        self._slots: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(AHEAD):
            self._slots.put(None)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        """Compress and write what is handed over; flush a pipe each second."""
        flushed, held = time.monotonic(), False  # whether the compressor may hold something back
        while True:
            try:
                block = self._blocks.get(timeout=FLUSH_SECONDS if self._live else None)
                if block is None:
                    return
                self._write(
                    block, flush := self._live and time.monotonic() - flushed > FLUSH_SECONDS
                )
                self._slots.put(None)
                held = not flush
            except queue.Empty:
                with self._lock:
                    block = self._take() if self._blocks.empty() else []
                flush = bool(block or held)
                if flush:
                    self._write(block, flush)
                    held = False
            if flush:
                flushed = time.monotonic()

    def _write(self, block: list[bytes], flush: bool) -> None:
        if not (self._failure or self._done):
            try:
                self._compress(block, zstandard.COMPRESSOBJ_FLUSH_BLOCK if flush else None)
            except (UserError, OSError, MemoryError, zstandard.ZstdError) as error:
                self._failure = error

    def _compress(self, block: list[bytes], flush: int | None = None) -> None:
        data = b"".join(block)
        if self._zstd:
            data = self._zstd.compress(data)
            if flush is not None:
                data += self._zstd.flush(flush)
        self._put(data)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        with _named(self.name):
            while view:
                view = view[os.write(self._file.fileno(), view) :]


def _compressor(live: bool) -> Any:
    make = zstandard.ZstdCompressionParameters
    parameters = (
        make.from_level(PIPE_LEVEL, write_checksum=True)
        if live
        else make(**FILE, write_checksum=True)
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compressobj()


def _create(path: str) -> tuple[BinaryIO, atomic.Partial | None, bool]:
    """Return the open file, which may be a temporary one, and whether it is read while written."""
    try:
        if path == "-":
            file = sys.stdout.buffer
            file.flush()
            return file, None, not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        partial = atomic.partial(path)
        if partial is not None:
            return partial.file, partial, False
        return Path(path).open("wb", buffering=0), None, True
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Turn an OSError, such as a full disk, into a UserError; a closed pipe passes unchanged."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{name}: {error.strerror}; nothing was written there") from None
