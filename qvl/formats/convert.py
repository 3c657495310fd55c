"""One conversion: rows of a format to records to rows of another."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from qvl.errors import UserError
from qvl.formats.trade import Lost, Trade
from qvl.io import arrays, jsonl, parquet
from qvl.record import check
from qvl.stage import Run


class Conversion:
    """From one format's module to another's."""

    def __init__(
        self,
        source: ModuleType,
        target: ModuleType,
        *,
        names: tuple[str, str],
        media_root: Path,
        media_dir: Path | None,
        lossy: bool,
        think_tags: bool,
        stem: str,
    ) -> None:
        self._source, self._target = source, target
        self._inward = Trade(media_dir=media_dir, think_tags=think_tags, stem=stem)
        self._outward = Trade(media_root=media_root, lossy=lossy, think_tags=think_tags)
        self._inward.format, self._outward.format = names

    def reader(self, paths: Any, on_bad: Any) -> Any:
        """What reads the source's files."""
        if self._source.CONTAINER == "parquet":
            return parquet.Reader(paths, on_bad)
        return jsonl.Reader(paths, on_bad, arrays=True)

    def writer(self, plain: bool) -> Callable[[str], Any]:
        """What makes the writer of the target's file."""
        if self._target.CONTAINER == "parquet":
            return lambda path: parquet.Writer(path, self._target.schema)
        if self._target.CONTAINER == "json":
            return arrays.Writer
        return lambda path: jsonl.Writer(path, plain=plain)

    def rows(self, run: Run) -> Iterator[dict]:
        """The target's rows of the run's rows, in order."""
        for row in run:
            try:
                converted = self._convert(row)
            except Lost as error:
                if run.on_error == "stop":
                    raise UserError(f"{run.reader.place}: {error}") from None
                run.reject(_without_bytes(row), "cannot-convert", str(error))
            else:
                yield converted
        if self._outward.losses:
            lost = self._outward.losses.most_common()
            run.note(lost=", ".join(f"{what} {number:,}" for what, number in lost))

    def _convert(self, row: dict) -> dict:
        self._inward.begin(row)
        record = self._source.to_record(row, self._inward)
        problem = check(record)
        if problem is not None:
            raise Lost(problem)
        self._outward.begin(record)
        return self._target.to_row(record, self._outward)


def _without_bytes(value: Any) -> Any:
    """A row that JSON can hold: embedded media become their size."""
    if isinstance(value, dict):
        return {name: _without_bytes(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_bytes(inner) for inner in value]
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else value
