import sys
from typing import Annotated

import typer

from qvl.errors import CheckFailed
from qvl.evaluate.compare import Comparison, shortfalls
from qvl.io import jsonl
from qvl.reward.penalties import PENALTIES

from ..groups import without
from ..options import StreamOptions
from ..session import write_report
from . import tables
from .table import By


def command(
    stream: Annotated[StreamOptions, without("files", "rejects", "on_error", "shard")],
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="Scored records of one run")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="Scored records of another")],
    by: By = "source",
    free_of: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(PENALTIES),
            help="Compare the shares of responses that are free of this penalty (see qvl verify), not of right ones; repeatable: free of all",
        ),
    ] = None,
    better: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GROUP",
            help="Exit with status 3 unless AFTER is better on this group, p below 0.05 (our choice); repeatable",
        ),
    ] = None,
) -> None:
    """Compare two evaluations of the same records, paired by id.

    Writes a record per item that changed: its id, the reference, and what both runs answered. On standard
    error, a table per group: the accuracies, their difference with its 95 % interval, the numbers
    of records that became better and worse, and the p of no difference. The test is exact (McNemar's, as a
    sign test) for one answer per record; for several it draws random signs. Pairing finds differences that
    two separate intervals hide. Records that only one run has are counted, and not compared.

    Examples:
        $ qvl eval score sampled.jsonl.zst -o a.zst && qvl eval score --verifier exact sampled.jsonl.zst -o b.zst && qvl eval compare a.zst b.zst | zstdcat | jq -r .id
    """
    comparison = Comparison(jsonl.read(before), by, free_of or ())
    config = {"by": by, "free_of": free_of}
    with stream.run("eval compare", files=[after], report=None, config=config) as run:
        run.write(comparison.changed(run))
        rows = comparison.rows()
        if comparison.unpaired:
            run.note(unpaired=comparison.unpaired)
    write_report({**run.account(), "groups": rows}, stream.report)
    tables.comparison(rows).print(sys.stderr)
    missed = shortfalls(rows, better or [])
    if missed:
        raise CheckFailed("; ".join(missed))
