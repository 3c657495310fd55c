"""A cache of answers, in an SQLite file that several runs may use at once.

The key is the body of the request: the model's name, the messages with the bytes of their media, the tools
and the sampling parameters. It does not identify the server or the weights: other weights need another
name or another file. Answers that arrive together are stored in one transaction of a write-ahead log, so
kill -9 loses no answer that was returned and leaves the file intact.
"""

import contextlib
import hashlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import zstandard

from qvl.errors import UserError

APPLICATION = 0x71766C31  # "qvl1" in the file's header identifies this table and key
WAIT_SECONDS = 60.0  # while another process writes
RETRY_SECONDS = 0.05
LEVEL = 1  # of zstd
# hashlib releases the GIL for more than a piece; acquiring it again costs more than hashing a small body.
SMALL, PIECE = 32 << 10, 2047


class Cache:
    """Answers by request. Not threadsafe."""

    def __init__(self, path: str) -> None:
        import sqlite3

        self.path, self.hits = path, 0
        self._compressor = zstandard.ZstdCompressor(
            level=LEVEL
        )  # creating one costs as much as ten answers
        self._decompressor = zstandard.ZstdDecompressor()
        self._error = sqlite3.Error
        self._busy = sqlite3.OperationalError
        with self._errors():
            self._file: Any = sqlite3.connect(
                path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._file.close()
                raise

    def get(self, key: bytes) -> dict | None:
        """The answer stored under a key; None if there is none."""
        with self._errors():
            row = self._file.execute(
                "SELECT answer FROM answers WHERE request = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        self.hits += 1
        return orjson.loads(self._decompressor.decompress(row[0]))

    def put(self, answers: Iterable[tuple[bytes, dict]]) -> None:
        """Store answers by key in one transaction, which costs half as much as one per answer."""
        rows = [(key, self._compressor.compress(orjson.dumps(each))) for key, each in answers]
        with self._errors():
            self._file.execute("BEGIN IMMEDIATE")
            try:
                self._file.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", rows)
            except BaseException:
                self._file.execute("ROLLBACK")
                raise
            self._file.execute("COMMIT")

    def close(self) -> None:
        self._file.close()

    def _prepare(self) -> None:
        (application,) = self._file.execute("PRAGMA application_id").fetchone()
        (tables,) = self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION:
            raise UserError(
                f"--cache {self.path}: not a cache of this version of qvl; give another file"
            )
        self._to_write_ahead_log()
        self._file.execute("PRAGMA synchronous = NORMAL")
        self._file.execute(f"PRAGMA application_id = {APPLICATION}")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS answers "
            "(request BLOB PRIMARY KEY, answer BLOB NOT NULL) WITHOUT ROWID"
        )

    def _to_write_ahead_log(self) -> None:
        """Set the journal mode, and wait while other processes set it; SQLite itself does not wait."""
        until = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                self._file.execute("PRAGMA journal_mode = WAL")
            except self._busy:
                if time.monotonic() > until:
                    raise
                time.sleep(RETRY_SECONDS)
            else:
                return

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            raise UserError(f"--cache {self.path}: {error}") from None


@contextlib.contextmanager
def kept(cache: str | None, output: str, *, resume: bool) -> Iterator[str | None]:
    """The path of a run's cache: `cache`, else OUTPUT.answers if the output is a file.

    OUTPUT.answers exists as long as OUTPUT.journal. The journal is in order, so it lacks the answers after
    the first pending one; the cache holds these. With both, a run that was killed requests no answer twice.
    """
    if cache is not None or output == "-":
        yield cache
        return
    path, journal = f"{output}.answers", Path(f"{output}.journal")
    if not resume and not journal.exists():
        _remove(path)  # left by a run that was killed after its output was complete
    try:
        yield path
    except BaseException:
        if not journal.exists():
            _remove(path)
        raise
    _remove(path)


def _remove(path: str) -> None:
    """Remove a cache and the files that SQLite keeps beside it."""
    for ending in ("", "-wal", "-shm"):
        Path(path + ending).unlink(missing_ok=True)


def is_reproducible(sampling: dict[str, Any]) -> bool:
    """Whether the same request should give the same answer; other requests are never cached."""
    return sampling.get("temperature") == 0 or sampling.get("seed") is not None


def key(body: bytes) -> bytes:
    """The key of a request's answer: a hash of its body."""
    if len(body) > SMALL:
        return hashlib.blake2b(body, digest_size=20).digest()
    digest = hashlib.blake2b(digest_size=20)
    for begin in range(0, len(body), PIECE):
        digest.update(body[begin : begin + PIECE])
    return digest.digest()
