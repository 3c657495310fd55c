"""Convert the rows of one format to records, and these to the rows of another."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.formats import get
from qvl.formats.context import CannotConvert, Context
from qvl.io import arrays, jsonl, parquet
from qvl.record import check
from qvl.stage import Run


class Conversion:
    """Converts from one format to another. The options are those of Context."""

    def __init__(
        self, source: str, target: str, *, media_dir: Path | None, media_name: str, **options: Any
    ) -> None:
        self._source, self._target = get(source), get(target)
        self.lost: Counter[str] = Counter()  # of the rows written
        self._reader: Any = None
        self._inward = Context(
            "a record",
            media_dir=media_dir,
            media_name=media_name,
            lossy=options["lossy"],
            think_tags=options["think_tags"],
            place=self._place,
        )
        self._outward = Context(target, place=self._place, **options)

    def reader(self, paths: Any, on_bad: Any) -> Any:
        """The reader of the source's files."""
        if self._source.CONTAINER == "parquet":
            self._reader = parquet.Reader(paths, on_bad)
        else:
            self._reader = arrays.Reader(paths, on_bad)
        return self._reader

    def _place(self) -> tuple[str, int]:
        """The file of the current row, and its number among the rows of all files."""
        sources = self._reader.sources
        return sources[-1]["name"], sum(source["records"] for source in sources)

    def writer(self, plain: bool) -> Callable[[str], Any]:
        """A function that opens the target's file."""
        if self._target.CONTAINER == "parquet":
            return lambda path: parquet.Writer(path, self._target.schema, self._target.fit)
        if self._target.CONTAINER == "json":
            return arrays.Writer
        return lambda path: jsonl.Writer(path, plain=plain)

    def rows(self, run: Run) -> Iterator[dict]:
        """Yield the converted rows, in order."""
        for row in run:
            try:
                converted = self._convert(row)
            except CannotConvert as error:
                if run.on_error == "stop":
                    raise UserError(f"{run.reader.place}: {error}") from None
                run.reject(_without_bytes(row), "cannot-convert", str(error))
            else:
                yield converted
        if self.lost:
            lost = self.lost.most_common()
            run.note(lost=", ".join(f"{what} {number:,}" for what, number in lost))

    def _convert(self, row: dict) -> dict:
        self._inward.start(row)
        record = self._source.to_record(row, self._inward)
        problem = check(record)
        if problem is not None:
            raise self._inward.error(problem)
        self._outward.start(record)
        converted = self._target.to_row(record, self._outward)
        self.lost += self._inward.losses + self._outward.losses
        return converted


def media_place(output: str, media_dir: str | None) -> tuple[Path | None, str]:
    """The folder of embedded media, and how the output refers to it.

    By default STEM-media beside the output, and none for standard output. References are relative to
    the output's folder if DIR is below it, else to the parent of DIR, for --media-root.
    """
    folder = Path() if output == "-" else Path(output).parent
    if media_dir is None:
        name = Path(output).name.partition(".")[0] + "-media"
        return (None, "") if output == "-" else (folder / name, name)
    place, root = Path(media_dir).resolve(), folder.resolve()
    below = place.is_relative_to(root) and place != root
    return Path(media_dir), place.relative_to(root).as_posix() if below else place.name


def _without_bytes(value: Any) -> Any:
    """The row with embedded media replaced by their size, so that JSON can hold it."""
    if isinstance(value, dict):
        return {name: _without_bytes(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_bytes(inner) for inner in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else str(value)
