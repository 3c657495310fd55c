"""Records as the lines that they will be, for stages that move records and do not look inside."""

from collections.abc import Iterable, Iterator

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.stage import Run


def encoded(run: Run, records: Iterable[dict]) -> Iterator[tuple[dict, bytes]]:
    """Each record with its line. One that cannot be written is treated as a bad line."""
    for record in records:
        try:
            line = jsonl.encode(record)
        except UserError as error:
            if run.on_error == "stop":
                raise
            run.reject({"id": record.get("id")}, "too-deep", str(error))
        else:
            yield record, line
