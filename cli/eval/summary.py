from pathlib import Path
from typing import Annotated

import typer

from qvl.errors import UserError
from qvl.evaluate import metrics

from ..tables import Table
from .table import read_report


def command(
    reports: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]REPORT...",
            help="Reports of evaluations, in the order of their columns; by default a column is named after its file",
        ),
    ],
) -> None:
    """Print several evaluations as one table, a column per run.

    Reads what qvl eval and qvl eval score wrote with --report. A row per group holds the accuracies in
    per cent, each with half the width of its 95 % Wilson interval: where two intervals overlap, qvl eval
    compare can still tell the runs apart, by pairing their records.

    Examples:
        $ qvl eval score sampled.jsonl.zst --report rules.json >/dev/null && qvl eval score --verifier exact sampled.jsonl.zst --report exact.json >/dev/null && qvl eval summary rules.json strict=exact.json
    """
    columns: dict[str, dict[str, str]] = {}
    for word in reports:
        name, equals, path = word.rpartition("=")
        name = name if equals else Path(path).stem
        if name in columns:
            raise UserError(f"{word}: a second column {name!r}; name it with NAME={path}")
        columns[name] = _cells(Path(path))
    groups = dict.fromkeys(group for cells in columns.values() for group in cells)
    groups.pop(metrics.ALL, None)
    table = Table(["group", *columns])
    for group in [*groups, metrics.ALL]:
        table.row(group, *(cells.get(group, "-") for cells in columns.values()))
    table.print()


def _cells(path: Path) -> dict[str, str]:
    """The accuracy of each group of a report, with half the width of its interval."""
    found = {}
    for group, (accuracy, interval) in metrics.intervals(read_report(path), str(path)).items():
        half = "" if interval is None else f" ±{50 * (interval[1] - interval[0]):.1f}"
        found[group] = f"{100 * accuracy:.1f}{half}"
    return found
