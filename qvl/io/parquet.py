"""Readers and writers of parquet files, one row group at a time. pyarrow is an extra."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from qvl.errors import UserError, need
from qvl.io import atomic, jsonl, lineage

READ_ROWS = 64  # rows held at once: an image of a megabyte in each is 64 MB
BATCH_ROWS = 4096
BATCH_BYTES = 1 << 26
EXTRA = "data"


class Reader:
    """The rows of parquet files; used like jsonl.Reader."""

    def __init__(
        self, paths: str | Sequence[str], on_bad: Callable[[jsonl.BadLine], None] | None = None
    ) -> None:
        self.paths = [paths] if isinstance(paths, str) else list(paths)
        self.number, self.bytes_read = 0, 0
        self.bytes_total = None
        self.sources: list[dict[str, Any]] = []
        self._parquet = need("pyarrow.parquet", EXTRA)
        self._arrow = need("pyarrow", EXTRA)

    @property
    def place(self) -> str:
        return f"{self.sources[-1]['name']}:{self.number}"

    def __iter__(self) -> Iterator[dict]:
        for path in self.paths:
            if path == "-":
                raise UserError("parquet cannot be read from a pipe; give a FILE")
            source: dict[str, Any] = {"name": path, "records": 0, "lineage": []}
            self.sources.append(source)
            self.number = 0
            try:
                file = self._parquet.ParquetFile(path)
                note = (file.metadata.metadata or {}).get(b"qvl.lineage")
                source["lineage"] += [orjson.loads(note)] if note else []
                for batch in file.iter_batches(READ_ROWS):
                    for row in batch.to_pylist():
                        self.number += 1
                        source["records"] += 1
                        yield row
            except OSError as error:
                raise UserError(f"{path}: {error.strerror or error}") from None
            except self._arrow.ArrowInvalid as error:
                raise UserError(f"{path}: not a parquet file: {error}") from None


class Writer:
    """Writes one parquet file, complete or not at all; used like jsonl.Writer.

    schema_of(rows, pyarrow) returns the schema of the first batch; fit(row, schema, pyarrow) converts
    a row to it. A batch ends at BATCH_ROWS rows or BATCH_BYTES of media, and becomes a row group.
    """

    def __init__(
        self,
        path: str,
        schema_of: Callable[[list[dict], Any], Any],
        fit: Callable[[dict, Any, Any], dict],
    ) -> None:
        if path == "-" or atomic.target_of(path) is None:
            raise UserError("parquet cannot be written to a pipe; use -o FILE")
        self._arrow = need("pyarrow", EXTRA)
        self._parquet = need("pyarrow.parquet", EXTRA)
        self._schema_of, self._fit = schema_of, fit
        self._path = path
        self._rows: list[dict] = []
        self._bytes = 0
        self._schema: Any = None
        self._file: Any = None
        with self._named():  # report an unwritable place before the work
            self._partial = atomic.Partial(Path(os.path.realpath(path)))

    def write(self, row: dict) -> None:
        self._rows.append(row)
        self._bytes += sum(len(medium["bytes"]) for medium in row.get("images", ()))
        if len(self._rows) >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
            self._flush()

    def commit(self, entry: dict | None = None) -> None:
        self.finish()
        self.seal(entry)
        self.publish()

    def finish(self) -> None:
        self._flush()

    def seal(self, entry: dict | None = None) -> None:
        with self._named():
            if entry is not None:
                self._file.add_key_value_metadata({"qvl.lineage": lineage.encode(entry).decode()})
            self._file.close()

    def publish(self) -> None:
        with self._named():
            self._partial.commit()

    def abort(self) -> None:
        if self._file is not None:
            self._file.close()
        self._partial.discard()

    def _flush(self) -> None:
        with self._named():
            if self._file is None:
                self._schema = self._schema_of(self._rows, self._arrow)
                self._file = self._parquet.ParquetWriter(
                    self._partial.path, self._schema, compression="zstd"
                )
            if self._rows:
                rows = [self._fit(row, self._schema, self._arrow) for row in self._rows]
                self._file.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))
        self._rows.clear()
        self._bytes = 0

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"{self._path}: {error.strerror or error}") from None
