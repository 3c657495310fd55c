"""Convert the rows of one format to records, and these to the rows of another."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.formats import get
from qvl.formats.context import CannotConvert, Context
from qvl.formats.likely import PREFERRED, likely
from qvl.io import arrays, jsonl, parquet, tables
from qvl.record import check, final_text
from qvl.stage import Run

AUTO = "auto"
FINAL = "final"  # the text of the last assistant turn


class Conversion:
    """Converts from one format to another. The options are those of Context."""

    def __init__(
        self,
        source: str,
        target: str,
        *,
        media_dir: Path | None,
        media_name: str,
        fields: dict[str, str] | None = None,
        answer: str | None = None,
        **options: Any,
    ) -> None:
        """fields: to set in records that lack them. answer: the field of a row that is the answer of
        its record, or FINAL."""
        self._name, self._target = source, get(target)
        self._source: Any = None if source == AUTO else get(source)
        self._detected = False
        self.lost: Counter[str] = Counter()  # of the rows written
        self._reader: Any = None
        self._inward = Context(
            "a record",
            media_dir=media_dir,
            media_name=media_name,
            lossy=options["lossy"],
            think_tags=options["think_tags"],
            media_root=options["media_root"],
            allow_remote=options["allow_remote"],
            place=self._place,
        )
        self._fields, self._answer = fields or {}, answer
        self._outward = Context(target, place=self._place, **options)

    def reader(self, paths: Any, on_bad: Any) -> Any:
        """The reader of the source's files."""
        is_table = tables.is_table(next(iter(paths), "-"))
        is_parquet = self._source.CONTAINER == "parquet" if self._source else _is_parquet(paths)
        if (is_parquet or is_table) and not self._source:
            self._name, self._source = "hf-parquet", get("hf-parquet")
        if is_table:
            self._reader = tables.Reader(paths, on_bad)
        elif is_parquet:
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
                run.reject(without_bytes(row), "cannot-convert", str(error))
            else:
                yield converted
        if self._detected:
            run.note(format=self._name)
        if self.lost:
            lost = self.lost.most_common()
            run.note(lost=", ".join(f"{what} {number:,}" for what, number in lost))

    def _check_format(self, row: dict) -> None:
        """Detect the format by the first row. CannotConvert for a row of another format."""
        found = likely(row)
        if self._source is None:
            if not found:
                raise UserError(
                    f"{self._reader.place}: --from auto does not know the format of a row with "
                    f"{', '.join(row)[:200]}; give --from FORMAT"
                )
            self._name, self._source, self._detected = found[0], get(found[0]), True
        if found and self._name in PREFERRED and self._name not in found:
            raise self._inward.error(f"it looks like {' or '.join(found)}; try --from {found[0]}")

    def _set_answer(self, record: dict, row: dict) -> None:
        """Set the answer of a record without one, if it has what is to be its answer."""
        if self._answer is None or "answer" in record:
            return
        found = final_text(record) if self._answer == FINAL else row.get(self._answer)
        if found is None or found == "":
            raise self._inward.error(f"no {self._answer} for --answer")
        record["answer"] = found

    def _convert(self, row: dict) -> dict:
        self._inward.start(row)
        self._check_format(row)
        record = {**self._fields, **self._source.to_record(row, self._inward)}
        self._set_answer(record, row)
        problem = check(record)
        if problem is not None:
            raise self._inward.error(problem)
        self._outward.start(record)
        converted = self._target.to_row(record, self._outward)
        self.lost += self._inward.losses + self._outward.losses
        return converted


def _is_parquet(paths: Any) -> bool:
    """Whether the first of some files is parquet."""
    first = next(iter(paths), "-")
    if first == "-":
        return False
    try:
        with Path(first).open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False  # which the reader reports


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


def without_bytes(value: Any) -> Any:
    """The row with embedded media replaced by their size, so that JSON can hold it."""
    if isinstance(value, dict):
        return {name: without_bytes(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_bytes(inner) for inner in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else str(value)
