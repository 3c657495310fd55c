from typing import Annotated

import typer

from qvl import stage
from qvl.curate.responses import ResponseRules
from qvl.curate.sift import sifted

from .options import Files, Jobs, OnError, Output, Plain, Rejects, Report, Shard
from .session import session


def command(
    files: Files = None,
    output: Output = "-",
    thinking: Annotated[
        str,
        typer.Option(
            metavar="allow|forbid|require",
            help="What a thought is: forbidden in instruct data, required in thinking data",
        ),
    ] = ResponseRules.thinking,
    min_reasoning: Annotated[
        int,
        typer.Option(
            metavar="CHARS", help="Drop guesses: a chain of thought that is shorter; 0 is off"
        ),
    ] = ResponseRules.min_reasoning,
    check_answers: Annotated[
        bool,
        typer.Option(
            "--check-answers/--no-check-answers",
            help="Drop what the task's verifier finds wrong",
        ),
    ] = ResponseRules.check_answers,
    loop_times: Annotated[
        int, typer.Option(metavar="N", help="A unit so often in a row is a loop")
    ] = ResponseRules.loop_times,
    loop_chars: Annotated[
        int,
        typer.Option(metavar="CHARS", help="Shortest loop at the end; twice that elsewhere"),
    ] = ResponseRules.loop_chars,
    max_repeated: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Most text in lines and sentences that stood before"),
    ] = ResponseRules.max_repeated,
    min_density: Annotated[
        float,
        typer.Option(metavar="RATIO", help="Least compressed size over size, from a kilobyte on"),
    ] = ResponseRules.min_density,
    max_mixed: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Most words in a script that the query does not use"),
    ] = ResponseRules.max_mixed,
    jobs: Jobs = 1,
    rejects: Rejects = None,
    on_error: OnError = "stop",
    shard: Shard = None,
    plain: Plain = False,
    report: Report = None,
) -> None:
    """Drop responses that are not worth learning, by rules.

    Reads records; looks at the final assistant turn and at each of `responses`. A record whose final
    turn fails is rejected; responses that fail are taken out, and the record is rejected when none
    is left. What is taken out of a record that is kept goes to --rejects too, as the record's id and
    these responses, with the reason "responses".

    Reasons: no-response, empty, repetition, truncated, special-token, think-format, tool-format,
    bad-json, language-mixing (by script), guess, inconsistent (thought and answer disagree),
    wrong-answer. The papers name these defects and publish no thresholds: the defaults are our choice.

    \b
    Examples:
        $ qvl filter-responses records.jsonl.zst | zstdcat
        $ qvl filter-responses --thinking forbid records.jsonl.zst -o instruct.jsonl.zst
        $ qvl filter-responses --rejects bad.jsonl.zst records.jsonl.zst -o kept.jsonl.zst
    """
    rules = ResponseRules(
        thinking=thinking,
        min_reasoning=min_reasoning,
        check_answers=check_answers,
        loop_times=loop_times,
        loop_chars=loop_chars,
        max_repeated=max_repeated,
        min_density=min_density,
        max_mixed=max_mixed,
    )
    with session(
        "filter-responses",
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
        run.write(sifted(run, stage.pairs(run, rules, jobs=jobs)))
