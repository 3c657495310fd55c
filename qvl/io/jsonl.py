"""Streams of records: JSONL, plain or zstd. The first bytes of an input decide, never its name."""

import contextlib
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import zstandard

from qvl.errors import UserError
from qvl.io import atomic, frames, inputs, lineage, lines
from qvl.io.lines import BadLine

BLOCK = 1 << 18  # bytes of lines that are joined before they are compressed
FLUSH_SECONDS = 1.0  # a slow stage must not starve the next
FILE_LEVEL = 3  # zstd's default: 5 to 13 % smaller than level 1 on records, and written once
PIPE_LEVEL = 1  # a pipe's bytes live for milliseconds: the fastest level that still shrinks them


class Reader:
    """The records of one or more files, in order.

    number: the line last read from the current file.
    sources: name, number of records and lineage of each file opened so far.
    bytes_read, bytes_total: of the compressed input; the total is None for a pipe.
    """

    def __init__(
        self,
        paths: str | Sequence[str] = "-",
        on_bad: Callable[[BadLine], None] | None = None,
    ) -> None:
        """`on_bad` takes each bad line; without it, the first one is raised."""
        self.paths = [paths] if isinstance(paths, str) else list(paths) or ["-"]
        self.on_bad = on_bad
        self.number = 0
        self.bytes_read = 0
        self.bytes_total = inputs.total_size(self.paths)
        self.sources: list[dict[str, Any]] = []

    @property
    def place(self) -> str:
        """Where the record last read is: "file:line"."""
        return f"{inputs.display_name(self.sources[-1]['name'])}:{self.number}"

    @property
    def lineage(self) -> list[dict]:
        """The entries found so far; complete once the stream has ended."""
        return [entry for source in self.sources for entry in source["lineage"]]

    def __iter__(self) -> Iterator[dict]:
        for path in self.paths:
            source: dict[str, Any] = {"name": path, "records": 0, "lineage": []}
            self.sources.append(source)
            for record in self._records(path, source["lineage"]):
                source["records"] += 1
                yield record

    def split(self, content: Iterator[bytes], name: str) -> Iterator[bytes]:
        """Yield the JSON text of each record. A subclass reads another container than lines."""
        return lines.split(content)

    def _records(self, path: str, entries: list[dict]) -> Iterator[dict]:
        name = inputs.display_name(path)
        self.number = 0
        for line in self.split(self._content(path, name, entries), name):
            self.number += 1
            try:
                record = lines.parse(line, name, self.number)
            except BadLine as bad:
                if self.on_bad is None:
                    raise
                self.on_bad(bad)
                continue
            if record is not None:
                yield record

    def _content(self, path: str, name: str, entries: list[dict]) -> Iterator[bytes]:
        """Yield the uncompressed bytes of one file. Errors name the last intact record."""

        def keep_lineage(note: bytes) -> None:
            entry = lineage.parse(note)
            if entry is not None:
                entries.append(entry)

        with inputs.open_input(path) as file:
            head, content = inputs.peek(self._counted(inputs.blocks(file, name)))
            if not head and path == "-":  # even a stream without records is a frame
                raise UserError(f"{name}: empty; did the stage before it fail?")
            if not frames.is_zstd(head):
                yield from content
                return
            try:
                yield from frames.decode(content, keep_lineage)
            except frames.Cut:
                raise UserError(
                    f"{name}: cut short after record {self.number}; did the stage before it fail? "
                    "'qvl recover' keeps the intact records"
                ) from None
            except frames.Corrupt as error:
                raise UserError(
                    f"{name}: corrupt after record {self.number}: {error}; "
                    "'qvl recover' keeps the intact records"
                ) from None

    def _counted(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.bytes_read += len(block)
            yield block


def read(
    paths: str | Sequence[str] = "-", on_bad: Callable[[BadLine], None] | None = None
) -> Reader:
    """Read `paths` as one stream; "-" is standard input. See Reader."""
    return Reader(paths, on_bad)


def write(records: Iterable[dict], path: str = "-", *, plain: bool = False) -> int:
    """Write `records` to `path`, all of them or nothing; return their number."""
    with Writer(path, plain=plain) as writer:
        for record in records:
            writer.write(record)
    return writer.count


def encode(record: dict) -> bytes:
    """The record as one line. UserError if it is nested too deeply."""
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError as error:
        if "ecursion" in str(error):
            raise UserError(
                f"record {record.get('id')!r}: nested deeper than {lines.MAX_DEPTH} levels"
            ) from None
        raise


class Writer:
    """Writes one stream. As a context it commits on a normal exit and aborts on an exception.

    The stream is zstd, but plain JSON to a terminal or if `plain`. A file appears complete or not at
    all. A frame ends only on commit, so a reader sees the stream of a failed stage as cut short.
    """

    def __init__(self, path: str = "-", *, plain: bool = False) -> None:
        self.path, self.count = path, 0
        self.name = "<stdout>" if path == "-" else path
        self._lines: list[bytes] = []
        self._size = 0
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._done = threading.Event()
        self._file, self._partial, live = _create(path)
        try:
            self._plain = plain or self._file.isatty()
            self._block = 1 if self._file.isatty() else BLOCK
            self._zstd = None if self._plain else _compressor(PIPE_LEVEL if live else FILE_LEVEL)
            if live:
                # Open the frame now: a reader takes an empty input for a failed stage.
                self._flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
                threading.Thread(target=self._flush_each_second, daemon=True).start()
        except BaseException:  # a signal may arrive between any two lines
            self.abort()
            raise

    def write(self, record: dict) -> None:
        self.write_bytes(encode(record))
        self.count += 1

    def write_bytes(self, line: bytes) -> None:
        """Write a line that is encoded already."""
        with self._lock:
            self._lines.append(line)
            self._size += len(line)
            if self._size >= self._block:
                self._drain()
        if self._failure:
            raise self._failure

    def commit(self, entry: dict | None = None) -> None:
        """Close the frame, add the lineage `entry`, and rename the file to its path."""
        self.finish()
        self.place(entry)

    def finish(self) -> None:
        """Close the frame: no further records, and a complete stream for readers."""
        self._done.set()
        with self._lock:
            if self._failure:
                raise self._failure
            self._flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)
            self._zstd = None  # holds megabytes, and hundreds of files may wait for `place`

    def place(self, entry: dict | None = None) -> None:
        """After `finish`: add the lineage `entry`, and rename the file to its path."""
        if entry is not None and not self._plain:
            self._put(lineage.frame(entry))
        if self._partial:
            with _named(self.name):
                os.fsync(self._file.fileno())
                self._file.close()
                atomic.rename(self._partial, self.path)

    def abort(self) -> None:
        """Discard the file. A pipe is left with an open frame, which readers report as cut short."""
        self._done.set()
        with self._lock:
            self._lines.clear()
            if self._partial:
                self._file.close()
                self._partial.unlink(missing_ok=True)

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

    def _flush_each_second(self) -> None:
        while not self._done.wait(FLUSH_SECONDS):
            with self._lock:
                try:
                    if self._lines and not self._done.is_set():
                        self._flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
                except (UserError, OSError) as error:
                    self._failure = error
                    return

    def _drain(self) -> None:
        data = b"".join(self._lines)
        self._lines.clear()
        self._size = 0
        self._put(self._zstd.compress(data) if self._zstd else data)

    def _flush(self, mode: int) -> None:
        self._drain()
        if self._zstd:
            self._put(self._zstd.flush(mode))

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        with _named(self.name):
            while view:
                view = view[os.write(self._file.fileno(), view) :]


def _compressor(level: int) -> Any:
    # One worker compresses while this thread parses: 1.2 times the records per second on two cores.
    return zstandard.ZstdCompressor(level=level, threads=1, write_checksum=True).compressobj()


def _create(path: str) -> tuple[BinaryIO, Path | None, bool]:
    """Return the open file, its temporary name if any, and whether it is read while written."""
    try:
        if path == "-":
            file = sys.stdout.buffer
            file.flush()
            return file, None, not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        partial = atomic.partial_path(path)
        return (partial or Path(path)).open("wb", buffering=0), partial, partial is None
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
