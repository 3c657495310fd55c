import sys
from typing import Annotated

import typer

from qvl import stage
from qvl.error_rate import MAX_ERROR_RATE
from qvl.evaluate.scoring import Changes, Score
from qvl.reward import time_limit
from qvl.reward.verify import Totals

from ..options import MaxErrorRate, StreamOptions, VerdictSeconds, Verifier
from .table import TableOptions


def command(
    table: TableOptions,
    stream: StreamOptions,
    verifier: Verifier = None,
    verdict_seconds: VerdictSeconds = time_limit.VERDICT_SECONDS,
    max_error_rate: MaxErrorRate = MAX_ERROR_RATE,
    show: Annotated[
        int,
        typer.Option("--show", metavar="N", min=0, help="Maximum number of changes to print"),
    ] = 20,
) -> None:
    """Score stored answers again, and print what changed.

    Reads records with responses, as qvl eval or qvl generate writes them, and judges each response with the
    verifier of its task, or with --verifier. Where a response has `extracted` (qvl eval extract), that is
    judged in place of its text. Writes the records with the new verdicts; on standard error it prints the
    responses whose reward is another than the one they came with, and the table of qvl eval. Too many
    verdicts that fail are status 3.

    Examples:
        $ qvl eval score sampled.jsonl.zst -o scored.jsonl.zst
        $ qvl eval score --verifier exact sampled.jsonl.zst | zstdcat | head -1
    """
    tally, changes = table.tally(verifier), Changes(show)
    with stream.run(
        "eval score",
        report=None,
        config={"verifier": verifier, "verdict_seconds": verdict_seconds},
        sound=True,
        conserves=True,
    ) as run:
        scored = stage.each(run, changes.recorded(Score(verifier, verdict_seconds)))
        run.write(tally.watch(Totals(max_error_rate).watch(scored, run.note)))
        run.note(changed=changes.number)
    for line in changes.lines():
        print(line, file=sys.stderr)
    table.end(run, tally, stream.report)
