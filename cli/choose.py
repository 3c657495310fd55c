from typing import Annotated

import typer

from qvl import stage
from qvl.curate.selection.choose import FORMATS, Choose
from qvl.streams.expression import option

from .options import StreamOptions


def command(
    stream: StreamOptions,
    by: Annotated[
        str | None,
        typer.Option(metavar="EXPRESSION", help="Of a response: take the one with the highest"),
    ] = None,
    least: Annotated[bool, typer.Option("--least", help="Take the lowest instead")] = False,
    where: Annotated[
        str | None,
        typer.Option(metavar="EXPRESSION", help="Of a response: only those of which it is true"),
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="|".join(FORMATS), help="Of SFT: without its thinking, or with one"
        ),
    ] = "as-is",
    keep_responses: Annotated[
        bool, typer.Option("--keep-responses", help="Leave the responses in the record")
    ] = False,
) -> None:
    """Make one of the sampled responses the assistant turn to learn.

    Reads records with responses, chooses one of each, and writes it as the last turn, in place of one
    that is there: its content, thinking and calls, or an agent's whole trajectory. Expressions are
    those of qvl select, of the fields of a response: reward, scores.judge_correctness, num_tokens.
    Of equals the first is taken, and without --by the first of all. scores.choose tells which it
    was. A record without responses keeps the turn that it has.

    --format standard leaves the thinking out; thinking wants one, between <think> and </think> or
    in reasoning_content. The rest goes to --rejects as no-response, none-eligible, no-number or
    no-thinking.

    \b
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
