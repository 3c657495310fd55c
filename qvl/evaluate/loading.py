"""A copy of a benchmark as a stream of records: the work of `qvl eval load`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.evaluate import copies
from qvl.evaluate.benchmark import Benchmark
from qvl.evaluate.questions import Questions
from qvl.formats.context import CannotConvert, Context
from qvl.formats.convert import media_place, without_bytes
from qvl.stage import Run


class Loading:
    """Reads the rows of a copy and makes records of them."""

    def __init__(
        self, benchmark: Benchmark, *, output: str, media_dir: str | None, media_root: Path
    ) -> None:
        place, name = media_place(output, media_dir)
        self._benchmark = benchmark
        self._reader: Any = None
        context = Context(
            "a record",
            media_dir=place,
            media_name=name,
            media_root=media_root,
            place=self._place,
        )
        self._questions = Questions(benchmark, context)

    def reader(self, paths: Any, on_bad: Any) -> Any:
        self._reader = copies.reader(self._benchmark.kind, paths, on_bad)
        return self._reader

    def records(self, run: Run) -> Iterator[dict]:
        """The records, in order. UserError, or a reject, for a row that lacks what its kind needs."""
        seen: set[str] = set()
        for row in run:
            try:
                record = self._questions.record(row)
                if record["id"] in seen:
                    raise CannotConvert(f"row {record['id']!r}: the id of an earlier row")
            except CannotConvert as error:
                if run.on_error == "stop":
                    raise UserError(f"{run.reader.place}: {error}") from None
                run.reject(without_bytes(row), "cannot-convert", str(error))
                continue
            seen.add(record["id"])
            yield record
        run.note(benchmark=self._benchmark.name, prompt_hash=self._benchmark.digest)

    def _place(self) -> tuple[str, int]:
        sources = self._reader.sources
        return sources[-1]["name"], sum(source["records"] for source in sources)
