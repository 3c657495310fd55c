from typing import Annotated

import typer

from qvl import stage
from qvl.curate.selection.choose import FORMATS, Choose
from qvl.streams.expression import option

from .options import KeepResponses, StreamOptions


def command(
    stream: StreamOptions,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="EXPRESSION", help="Choose the response with the highest value of this"
        ),
    ] = None,
    least: Annotated[bool, typer.Option("--least", help="Choose the lowest value instead")] = False,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="EXPRESSION", help="Choose only among responses for which this is true"
        ),
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="|".join(FORMATS),
            help="Format of the turn: unchanged, without reasoning, or with it",
        ),
    ] = "as-is",
    keep_responses: KeepResponses = False,
) -> None:
    """Make one of the sampled responses the assistant turn to train on.

    Reads records with responses, chooses one each, and writes it as the last turn, in place of an existing
    one: its content, reasoning and tool calls, or all its `messages` if it has several turns. Expressions
    are those of qvl select on the fields of a response: reward, scores.judge_correctness, num_tokens.
    Without --by, or if several are equal, the first eligible response is chosen. scores.choose records
    which. A record without responses keeps its turn.

    --format standard removes the reasoning; thinking requires it, between <think> and </think> or in
    reasoning_content. The others go to --rejects as no-response, none-eligible, no-number or no-thinking.

    Examples:
        $ qvl choose --where 'len(content) > 1' sampled.jsonl.zst | zstdcat
        $ qvl verify sampled.jsonl.zst | qvl choose --by reward --where 'reward == 1' | zstdcat
        $ qvl choose --by 'len(content)' --least --format standard sampled.jsonl.zst | zstdcat
    """
    work = Choose(
        by=option("--by", by) if by else None,
        where=option("--where", where) if where else None,
        least=least,
        format=format_,
        keep_responses=keep_responses,
    )
    with stream.run(
        "choose",
        sound=True,
        conserves=True,
        config={"by": by, "least": least, "where": where, "format": format_},
    ) as run:
        run.write(stage.each(run, work))
