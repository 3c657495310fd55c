"""The options of the table that ends an evaluation."""

import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from qvl.errors import CheckFailed, UserError
from qvl.evaluate import metrics
from qvl.reward.penalties import PENALTIES
from qvl.stage import Run

from ..groups import group
from ..session import write_report
from . import tables

By = Annotated[str, typer.Option("--by", metavar="FIELD", help="Group the table by this field")]


@group
class TableOptions:
    """What the table shows, and what it demands."""

    title: ClassVar = "Table options"

    by: By = "source"
    pass_at: Annotated[
        list[int] | None,
        typer.Option(
            "--pass-at",
            metavar="K",
            min=1,
            help="Also show pass@K, the chance that one of K samples is right; repeatable",
        ),
    ] = None
    min_: Annotated[
        list[str] | None,
        typer.Option(
            "--min",
            metavar="GROUP=X",
            help="Exit with status 3 below this accuracy; repeatable; 'all' is a group",
        ),
    ] = None
    penalty: Annotated[
        list[str] | None,
        typer.Option(
            "--penalty",
            metavar="|".join(PENALTIES),
            help="Also show the share of responses that get this penalty (see qvl verify); repeatable",
        ),
    ] = None
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline", metavar="FILE", help="Also show the accuracies of this earlier --report"
        ),
    ] = None

    def tally(self, verifier: str | None) -> metrics.Tally:
        """What counts the records. UserError for a bad --min or --baseline, before any work."""
        self._minima = [metrics.parse_minimum(text) for text in self.min_ or []]
        name = str(self.baseline)
        self._before = (
            metrics.summary(read_report(self.baseline), name).accuracy if self.baseline else None
        )
        return metrics.Tally(self.by, verifier, self.pass_at or (), self.penalty or ())

    def end(self, run: Run, tally: metrics.Tally, report: str | None, **facts: Any) -> None:
        """Write the report, with further `facts`, and the table. CheckFailed below a minimum."""
        rows = tally.rows()
        write_report({**run.account(), **facts, "groups": rows}, report)
        missed = metrics.shortfalls(rows, self._minima)
        tables.evaluation(rows, self._before, set(missed)).print(sys.stderr)
        for line in metrics.figures(rows):
            print(line, file=sys.stderr)
        if missed:
            raise CheckFailed("; ".join(missed.values()))


def read_report(path: Path) -> bytes:
    """The content of an earlier run's --report. UserError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
