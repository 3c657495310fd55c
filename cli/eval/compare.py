import sys
from typing import Annotated

import typer

from qvl.evaluate.compare import Comparison
from qvl.io import jsonl

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
    comparison = Comparison(jsonl.read(before), by)
    with stream.run("eval compare", files=[after], report=None, config={"by": by}) as run:
        run.write(comparison.changed(run))
        rows = comparison.rows()
        if comparison.unpaired:
            run.note(unpaired=comparison.unpaired)
    write_report({**run.account(), "groups": rows}, stream.report)
    tables.comparison(rows).print(sys.stderr)
