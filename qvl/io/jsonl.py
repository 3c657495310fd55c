"""Streams of records: JSONL, plain or zstd. On reading, the first bytes decide, never the name."""

import contextlib
import itertools
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import zstandard

from qvl.errors import UserError
from qvl.io import frames, lineage, lines
from qvl.io.lines import BadLine

CHUNK = 1 << 17  # bytes read at a time
BLOCK = 1 << 18  # bytes of lines that are joined before they are compressed
FLUSH_SECONDS = 1.0  # a slow stage must not starve the next
FILE_LEVEL = 3  # zstd's default: 5 to 13 % smaller than level 1 on records, and written once
PIPE_LEVEL = 1  # a pipe's bytes live for milliseconds: the fastest level that still shrinks them


class Reader:
    """The records of one or more files, in order.

    number: the line last read of the present file.
    lineage: entries found so far; whole once the stream has ended.
    bytes_read, bytes_total: of the compressed input; the total is None for a pipe.
    """

    def __init__(
        self,
        paths: str | Sequence[str] = "-",
        on_bad: Callable[[BadLine], None] | None = None,
        arrays: bool = False,
    ) -> None:
        """`arrays`: a file may also hold one JSON array of records, as other tools write them."""
        self.paths = [paths] if isinstance(paths, str) else list(paths) or ["-"]
        self.on_bad, self.arrays = on_bad, arrays
        self.number = 0
        self.bytes_read = 0
        self.bytes_total = _total_size(self.paths)
        self.sources: list[dict[str, Any]] = []

    @property
    def place(self) -> str:
        """Where the record last read lies: "file:line"."""
        return f"{display_name(self.sources[-1]['name'])}:{self.number}"

    @property
    def lineage(self) -> list[dict]:
        return [entry for source in self.sources for entry in source["lineage"]]

    def __iter__(self) -> Iterator[dict]:
        for path in self.paths:
            source: dict[str, Any] = {"name": path, "records": 0, "lineage": []}
            self.sources.append(source)
            for record in self._records(path, source["lineage"]):
                source["records"] += 1
                yield record

    def _records(self, path: str, entries: list[dict]) -> Iterator[dict]:
        name = display_name(path)
        self.number = 0
        content = self._content(path, name, entries)
        for line in lines.elements(content, name) if self.arrays else lines.split(content):
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
        """The uncompressed bytes of one file, with errors that say how far it was whole."""

        def keep_lineage(note: bytes) -> None:
            entry = lineage.parse(note)
            if entry is not None:
                entries.append(entry)

        with open_input(path) as file:
            head, content = peek(self._counted(chunks(file, name)))
            if not head and path == "-":  # even a stream of no records is a frame
                raise UserError(f"{name}: empty; did the stage before it fail?")
            if not frames.is_zstd(head):
                yield from content
                return
            try:
                yield from frames.decode(content, keep_lineage)
            except frames.Cut:
                raise UserError(
                    f"{name}: cut short after record {self.number}; did the stage before it fail? "
                    "'qvl recover' keeps what is whole"
                ) from None
            except frames.Corrupt as error:
                raise UserError(
                    f"{name}: corrupt after record {self.number}: {error}; "
                    "'qvl recover' keeps what is whole"
                ) from None

    def _counted(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.bytes_read += len(block)
            yield block


def read(
    paths: str | Sequence[str] = "-", on_bad: Callable[[BadLine], None] | None = None
) -> Reader:
    """The records of `paths` as one stream; "-" is standard input. See Reader."""
    return Reader(paths, on_bad)


def write(records: Iterable[dict], path: str = "-", *, plain: bool = False) -> int:
    """Write all `records` to `path`, whole or not at all; return how many."""
    with Writer(path, plain=plain) as writer:
        for record in records:
            writer.write(record)
    return writer.count


def encode(record: dict) -> bytes:
    """One line. UserError where the record cannot be written."""
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError as error:
        if "ecursion" in str(error):
            raise UserError(
                f"record {record.get('id')!r}: nested deeper than {lines.MAX_DEPTH} levels"
            ) from None
        raise


class Writer:
    """Writes one stream. Used as a context: leaving it normally commits, an exception aborts.

    zstd, except plain JSON to a terminal or when `plain`. A file appears whole or not at all. A
    frame ends only on commit, so a reader takes a failed stage for what it is: a cut stream.
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
                # A flush now opens the frame: no bytes at all would look like a stage that died.
                self._flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
                threading.Thread(target=self._flush_each_second, daemon=True).start()
        except BaseException:  # a signal may come between any two lines
            self.abort()
            raise

    def write(self, record: dict) -> None:
        self.write_bytes(encode(record))
        self.count += 1

    def write_bytes(self, line: bytes) -> None:
        """Write what is encoded already."""
        with self._lock:
            self._lines.append(line)
            self._size += len(line)
            if self._size >= self._block:
                self._drain()
        if self._failure:
            raise self._failure

    def commit(self, entry: dict | None = None) -> None:
        """Close the frame, add the lineage `entry`, and put the file in its place."""
        self.finish()
        self.place(entry)

    def finish(self) -> None:
        """Close the frame: nothing more is written, and no reader takes the stream for cut."""
        self._done.set()
        with self._lock:
            if self._failure:
                raise self._failure
            self._flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)
            self._zstd = None  # megabytes, where hundreds of files wait for their place

    def place(self, entry: dict | None = None) -> None:
        """After `finish`: add the lineage `entry`, and put the file in its place."""
        if entry is not None and not self._plain:
            self._put(lineage.frame(entry))
        if self._partial:
            with _space(self.name):
                os.fsync(self._file.fileno())
                self._file.close()
                Path(self._partial).replace(os.path.realpath(self.path))

    def abort(self) -> None:
        """Leave nothing that looks done."""
        self._done.set()
        with self._lock:
            self._lines.clear()
            if self._partial:
                self._file.close()
                Path(self._partial).unlink(missing_ok=True)

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
        with _space(self.name):
            while view:
                view = view[os.write(self._file.fileno(), view) :]


def display_name(path: str) -> str:
    return "<stdin>" if path == "-" else path


def _compressor(level: int) -> Any:
    # One worker compresses while this thread parses: 1.2 times the records a second on two cores.
    return zstandard.ZstdCompressor(level=level, threads=1, write_checksum=True).compressobj()


def open_input(path: str) -> contextlib.AbstractContextManager[BinaryIO]:
    """The file behind `path` for reading; UserError where there is none."""
    if path == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    try:
        return Path(path).open("rb", buffering=0)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def chunks(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Whatever the file has ready, until its end."""
    while True:
        try:
            chunk = os.read(file.fileno(), CHUNK)
        except OSError as error:
            raise UserError(f"{name}: {error.strerror}") from None
        if not chunk:
            return
        yield chunk


def peek(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first four bytes (fewer where there are no more), and all blocks again."""
    first = b""
    while len(first) < 4 and (more := next(blocks, b"")):
        first += more
    return first[:4], itertools.chain([first] if first else [], blocks)


def _create(path: str) -> tuple[BinaryIO, str | None, bool]:
    """The open file, the partial name if it is to be renamed, and whether somebody reads it now."""
    try:
        if path == "-":
            file = sys.stdout.buffer
            file.flush()
            return file, None, not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        target = os.path.realpath(path)
        if Path(path).exists() and not Path(path).is_file():  # a pipe or a device
            return Path(path).open("wb", buffering=0), None, True
        partial = f"{target}.{os.getpid()}.partial"
        return Path(partial).open("wb", buffering=0), partial, False
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


@contextlib.contextmanager
def _space(name: str) -> Iterator[None]:
    """A full disk is the user's to mend; a closed pipe goes up as it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{name}: {error.strerror}; nothing was written there") from None


def _total_size(paths: Sequence[str]) -> int | None:
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


def now() -> float:
    """Seconds since 1970; SOURCE_DATE_EPOCH, where set, makes lineage reproducible."""
    return float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
