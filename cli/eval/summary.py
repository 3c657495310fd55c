from pathlib import Path
from typing import Annotated, TypeVar

import typer

from qvl.errors import UserError
from qvl.evaluate import metrics

from . import tables
from .table import read_report

Figure = TypeVar("Figure")


def command(
    reports: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]REPORT...",
            help="Reports of evaluations, in the order of their columns; by default a column is named after its file, and reports of the same NAME share one",
        ),
    ],
) -> None:
    """Print several evaluations side by side, a column per run.

    Reads what qvl eval and qvl eval score wrote with --report. A row per group holds the accuracies in
    per cent, each with half the width of its 95 % Wilson interval: where two intervals overlap, qvl eval
    compare can still tell the runs apart, by pairing their records. Below are the mean numbers of tokens,
    and the shares of responses with each --penalty of the evaluations.

    Examples:
        $ qvl eval score sampled.jsonl.zst --report rules.json >/dev/null && qvl eval score --verifier exact sampled.jsonl.zst --report exact.json >/dev/null && qvl eval summary rules.json strict=exact.json
    """
    runs: dict[str, metrics.Summary] = {}
    for word in reports:
        name, equals, path = word.rpartition("=")
        name = name if equals else Path(path).stem
        found = metrics.summary(read_report(Path(path)), path)
        if name in runs and not equals:
            raise UserError(f"{word}: a second column {name!r}; name it with NAME={path}")
        runs[name] = _together(runs[name], found, word) if name in runs else found
    for number, table in enumerate(tables.side_by_side(runs)):
        if number:
            print()
        table.print()


def _together(one: metrics.Summary, other: metrics.Summary, word: str) -> metrics.Summary:
    """Both in one column, without the figures of all records. UserError if both have a group."""
    twice = (one.accuracy.keys() & other.accuracy.keys()) - {metrics.ALL}
    if twice:
        raise UserError(f"{word}: its column has {min(twice)} already")
    return metrics.Summary(
        _groups(one.accuracy) | _groups(other.accuracy),
        _groups(one.tokens) | _groups(other.tokens),
        {
            name: _groups(one.penalties.get(name, {})) | _groups(other.penalties.get(name, {}))
            for name in one.penalties | other.penalties
        },
    )


def _groups(figures: dict[str, Figure]) -> dict[str, Figure]:
    return {group: figure for group, figure in figures.items() if group != metrics.ALL}
