"""One conversion: rows of a format to records to rows of another."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.formats import get
from qvl.formats.context import Lost, Trade
from qvl.io import arrays, jsonl, parquet
from qvl.record import check
from qvl.stage import Run


class Conversion:
    """From one format's module to another's. Options are those of Trade, for both directions."""

    def __init__(
        self, source: str, target: str, *, media_dir: Path | None, media_name: str, **options: Any
    ) -> None:
        self._source, self._target = get(source), get(target)
        self.lost: Counter[str] = Counter()  # of the rows that were written
        self._reader: Any = None
        self._inward = Trade(
            "a record",
            media_dir=media_dir,
            media_name=media_name,
            lossy=options["lossy"],
            think_tags=options["think_tags"],
            place=self._place,
        )
        self._outward = Trade(target, place=self._place, **options)

    def reader(self, paths: Any, on_bad: Any) -> Any:
        """What reads the source's files."""
        if self._source.CONTAINER == "parquet":
            self._reader = parquet.Reader(paths, on_bad)
        else:
            self._reader = arrays.Reader(paths, on_bad)
        return self._reader

    def _place(self) -> tuple[str, int]:
        """The file of the present row, and the row's number among those of all files."""
        sources = self._reader.sources
        return sources[-1]["name"], sum(source["records"] for source in sources)

    def writer(self, plain: bool) -> Callable[[str], Any]:
        """What makes the writer of the target's file."""
        if self._target.CONTAINER == "parquet":
            return lambda path: parquet.Writer(path, self._target.schema, self._target.fit)
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
        if self.lost:
            lost = self.lost.most_common()
            run.note(lost=", ".join(f"{what} {number:,}" for what, number in lost))

    def _convert(self, row: dict) -> dict:
        self._inward.begin(row)
        record = self._source.to_record(row, self._inward)
        problem = check(record)
        if problem is not None:
            raise self._inward.wrong(problem)
        self._outward.begin(record)
        converted = self._target.to_row(record, self._outward)
        self.lost += self._inward.losses + self._outward.losses
        return converted


def media_place(output: str, media_dir: str | None) -> tuple[Path | None, str]:
    """Where embedded media go, and how the output refers to it.

    By default STEM-media beside the output; no place for standard output. References start in the
    folder of the output where DIR is below it, else in the folder of DIR, for --media-root.
    """
    folder = Path() if output == "-" else Path(output).parent
    if media_dir is None:
        name = Path(output).name.partition(".")[0] + "-media"
        return (None, "") if output == "-" else (folder / name, name)
    place, root = Path(media_dir).resolve(), folder.resolve()
    below = place.is_relative_to(root) and place != root
    return Path(media_dir), place.relative_to(root).as_posix() if below else place.name


def _without_bytes(value: Any) -> Any:
    """A row that JSON can hold: embedded media become their size."""
    if isinstance(value, dict):
        return {name: _without_bytes(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_bytes(inner) for inner in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else str(value)
