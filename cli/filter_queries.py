from typing import Annotated

import typer

from qvl import stage
from qvl.curate.queries import QueryRules

from .options import Files, Jobs, OnError, Output, Plain, Rejects, Report, Shard
from .session import session


def command(
    files: Files = None,
    output: Output = "-",
    max_chars: Annotated[
        int,
        typer.Option(metavar="N", help="Longest conversation before the answer (our choice)"),
    ] = QueryRules.max_chars,
    need_answer: Annotated[
        bool, typer.Option("--need-answer", help="Drop what has no reference answer to verify by")
    ] = QueryRules.need_answer,
    one_question: Annotated[
        bool, typer.Option("--one-question", help="Drop what asks several questions at once")
    ] = QueryRules.one_question,
    jobs: Jobs = 1,
    rejects: Rejects = None,
    on_error: OnError = "stop",
    shard: Shard = None,
    plain: Plain = False,
    report: Report = None,
) -> None:
    """Drop queries that are not worth a response.

    Reads records and writes those that pass, unchanged and in order; the rest goes to --rejects with
    one of these reasons: no-query (no user turn), empty, no-substance (a greeting, a placeholder, a
    web page's furniture, an address), vague (points at something that nothing names), missing-image
    (speaks of an image that is not there), denies-image, too-long, no-answer, several-questions.

    The rules need no model and know some fifteen languages. They drop what is surely worthless and
    leave the rest to a judge. The papers publish no rules, so these are our choice.

    \b
    Examples:
        $ qvl filter-queries records.jsonl.zst | zstdcat
        $ qvl filter-queries --need-answer --one-question records.jsonl.zst -o queries.jsonl.zst
        $ qvl filter-queries --rejects bad.jsonl.zst records.jsonl.zst -o queries.jsonl.zst
    """
    rules = QueryRules(max_chars=max_chars, need_answer=need_answer, one_question=one_question)
    with session(
        "filter-queries",
        files,
        output,
        rejects=rejects,
        on_error=on_error,
        shard=shard,
        plain=plain,
        report=report,
        sound=True,
        conserves=True,
        config=vars(rules),
    ) as run:
        run.write(stage.keep(run, rules, jobs=jobs))
