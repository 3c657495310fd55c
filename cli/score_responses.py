from typing import Annotated

import typer

from qvl import stage
from qvl.curate import scores
from qvl.curate.sift import sifted

from .options import Files, Jobs, OnError, Output, Plain, Rejects, Report, Shard
from .session import session


def command(
    files: Files = None,
    output: Output = "-",
    least: Annotated[
        list[str] | None,
        typer.Option(
            "--min", metavar="AXIS=X", help="Drop what scores under X on this axis; repeatable"
        ),
    ] = None,
    jobs: Jobs = 1,
    rejects: Rejects = None,
    on_error: OnError = "stop",
    shard: Shard = None,
    plain: Plain = False,
    report: Report = None,
) -> None:
    """Score responses on axes that rules can measure, and drop nothing unless told to.

    Reads records; writes them with `scores` on each of `responses`, and with
    scores["score-responses"] for the final assistant turn (without one: the mean of the responses).
    All go from 0 to 1, higher is better; an axis that cannot be told is left out:
    correctness, what the task's verifier gives, where there is an answer to compare with;
    completeness, 1 unless the text is empty or was cut;
    clarity, 1 less the share of text that repeats;
    language, 1 less the share of words in a script that the query does not use;
    form, 1 unless tags, tool calls, JSON or special tokens are out of order.

    With --min, a final turn under a threshold rejects its record and a response under it is taken
    out, as qvl filter-responses does, with the reason low-AXIS. An axis left out is not under it.

    \b
    Examples:
        $ qvl score-responses records.jsonl.zst | zstdcat
        $ qvl score-responses --min clarity=0.8 --min correctness=0.5 records.jsonl.zst | zstdcat
    """
    bounds = scores.thresholds(least or [])
    with session(
        "score-responses",
        files,
        output,
        rejects=rejects,
        on_error=on_error,
        shard=shard,
        plain=plain,
        report=report,
        sound=True,
        conserves=True,
        config={"min": bounds},
    ) as run:
        scored = stage.annotate(run, scores.annotate, jobs=jobs)
        if bounds:
            judge = scores.judge(bounds)
            scored = sifted(run, ((record, judge(record)) for record in scored))
        run.write(scored)
