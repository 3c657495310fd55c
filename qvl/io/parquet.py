"""Parquet files, row group by row group, as readers and writers of rows. pyarrow is an extra."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from qvl.errors import UserError, need
from qvl.io import jsonl

BATCH_ROWS = 256  # rows held at once: with an image of a megabyte in each, a quarter of a gigabyte
EXTRA = "data"


class Reader:
    """The rows of parquet files, with the face of jsonl.Reader."""

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
                raise UserError("parquet cannot be read from a pipe; name a FILE")
            source: dict[str, Any] = {"name": path, "records": 0, "lineage": []}
            self.sources.append(source)
            self.number = 0
            try:
                file = self._parquet.ParquetFile(path)
                note = (file.metadata.metadata or {}).get(b"qvl.lineage")
                source["lineage"] += [orjson.loads(note)] if note else []
                for batch in file.iter_batches(BATCH_ROWS):
                    for row in batch.to_pylist():
                        self.number += 1
                        source["records"] += 1
                        yield row
            except OSError as error:
                raise UserError(f"{path}: {error.strerror or error}") from None
            except self._arrow.ArrowInvalid as error:
                raise UserError(f"{path}: no parquet file: {error}") from None


class Writer:
    """Writes one parquet file, whole or not at all, with the face of jsonl.Writer."""

    def __init__(self, path: str, schema: Callable[[Any], Any]) -> None:
        if path == "-" or (Path(path).exists() and not Path(path).is_file()):
            raise UserError("parquet cannot go into a pipe; name a file with -o FILE")
        self._arrow = need("pyarrow", EXTRA)
        self._schema = schema(self._arrow)
        self._path, self._partial = path, f"{path}.{os.getpid()}.partial"
        try:
            self._file = need("pyarrow.parquet", EXTRA).ParquetWriter(
                self._partial, self._schema, compression="zstd"
            )
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from None
        self._rows: list[dict] = []

    def write(self, row: dict) -> None:
        self._rows.append(row)
        if len(self._rows) >= BATCH_ROWS:
            self._flush()

    def commit(self, entry: dict | None = None) -> None:
        self._flush()
        if entry is not None:
            self._file.add_key_value_metadata({"qvl.lineage": orjson.dumps(entry).decode()})
        self._file.close()
        Path(self._partial).replace(self._path)

    def abort(self) -> None:
        self._file.close()
        Path(self._partial).unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._rows:
            table = self._arrow.Table.from_pylist(self._rows, schema=self._schema)
            try:
                self._file.write_table(table)
            except OSError as error:
                raise UserError(f"{self._path}: {error.strerror or error}") from None
            self._rows.clear()
