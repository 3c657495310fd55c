"""Tables of comma- or tab-separated values, read as records of texts: a column per field."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.io import inputs, jsonl, lines
from qvl.io.lines import BadLine

SUFFIXES = (".tsv", ".csv")


def is_table(path: str) -> bool:
    """Whether a file's name says that it is a table; its compression may follow (.tsv.gz)."""
    return any(suffix in SUFFIXES for suffix in Path(path).suffixes[-2:])


class Reader(jsonl.Reader):
    """Reads a record per row of files whose first row names the columns. `number` counts rows.

    Columns are separated by tabs if the first row has a tab, else by commas; quotes are doubled inside
    quotes, as pandas and spreadsheets write them. Every value is a text. UserError for a file without columns.
    """

    def _parsed(self, with_lines: bool) -> Iterator[Any]:
        csv.field_size_limit(sys.maxsize)  # an image as base64; a line has its own limit
        for path in self.paths:
            source: dict[str, Any] = {"name": path, "records": 0, "lineage": []}
            self.sources.append(source)
            name = inputs.display_name(path)
            self.number = 0
            yield from self._rows(self._content(path, name, source["lineage"]), name, source)

    def _rows(self, content: Iterator[bytes], name: str, source: dict) -> Iterator[dict]:
        self._size = 0  # of the lines of the row that is read
        texts = self._texts(content, name)
        first = next(texts, "").removeprefix("\ufeff")
        delimiter = "\t" if "\t" in first else ","
        columns = next(csv.reader([first], delimiter=delimiter), [])
        if not columns or len({*columns}) < len(columns):
            raise UserError(f"{name}: its first row names no columns, or one of them twice")
        for row in csv.reader(texts, delimiter=delimiter):
            self._size = 0
            if not row:
                continue
            self.number += 1
            if len(row) == len(columns):
                source["records"] += 1
                yield dict(zip(columns, row, strict=True))
                continue
            detail = f"{len(row)} values for {len(columns)} columns"
            bad = BadLine(name, self.number, "columns", detail, "\t".join(row).encode())
            if self.on_bad is None:
                raise bad
            self.on_bad(bad)

    def _texts(self, content: Iterator[bytes], name: str) -> Iterator[str]:
        for line in lines.split(content):
            self._size += len(line)
            if self._size > lines.MAX_LINE:
                raise UserError(
                    f"{name}: row {self.number + 1} is longer than {lines.MAX_LINE >> 20} MiB; "
                    "is a quote missing?"
                )
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError:
                raise UserError(f"{name}: row {self.number + 1} is not UTF-8") from None
