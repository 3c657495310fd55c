import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.streams.expression import option

from .groups import without
from .options import MediaOptions, StreamOptions

GROUPS = ("media()", "task", "source", "language()", "len(messages)")


def command(
    stream: Annotated[StreamOptions, without("output", "plain")],
    media: MediaOptions,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPRESSION",
            help=f"Expression to count by, see qvl select; repeatable; by default {', '.join(GROUPS[:-1])} and {GROUPS[-1]}",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Checkpoint with which tokens are counted, also of images and videos",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object")] = False,
) -> None:
    """Print the contents of a stream: counts, shares and sizes.

    Reads the stream once, in bounded memory. Prints how many records have an answer, reasoning, images
    and so on; how many have each medium, task, source, language and number of turns, or each value of
    --by (up to 10,000 values are counted separately); rejects by reason; rewards and pass rates by task;
    histograms of tokens and rewards; and the mean, percentiles and maximum of turns, characters, images,
    responses and rewards. Percentiles and the edges of histograms are accurate to 1 %.

    Tokens are known of packed lines and of sampled responses. With --model each record is rendered and
    tokenized, as qvl pack would do, and headers of images and whole videos are read.

    Examples:
        $ qvl stats records.jsonl.zst
        $ qvl stats --by task --by 'len(messages)' --json records.jsonl.zst
        $ qvl select 'modality() == "text"' records.jsonl.zst | qvl stats
    """
    from qvl.reward import RIGHT
    from qvl.streams.stats import Stats  # random, which mix imports, is 5 ms of start-up

    groups = {key: option("--by", key) for key in by or GROUPS}
    tokens = _tokens(model, media, stream.files) if model else None
    stats = Stats(groups, right=RIGHT, tokens=tokens)
    with stream.run(
        "stats", output=None, conserves=True, expressions=groups.values() if by else ()
    ) as run:
        for record in run.as_read():
            stats.add(record, len(jsonl.encode(record)))
            run.put(record)
        facts = stats.facts()
        if json:
            sys.stdout.buffer.write(orjson.dumps(facts, option=orjson.OPT_INDENT_2) + b"\n")
        else:
            from .stats_tables import tables

            for number, table in enumerate(tables(facts)):
                if number:
                    print()
                table.print()
        sys.stdout.flush()


def _tokens(model: Path, media: MediaOptions, files: list[str] | None):
    """The function that counts the tokens of a record; None for one that cannot be rendered."""
    from qvl.media.errors import MediaError
    from qvl.pack.measure import measure
    from qvl.stage import Drop

    render = measure(model, media.root(files), allow_remote=media.allow_remote)

    def tokens(record: dict) -> tuple[int, int, int] | None:
        try:
            found = render.tokens(record)
        except MediaError:
            return None
        except UserError as error:
            raise UserError(f"record {record.get('id')!r}: {error}") from None
        return None if isinstance(found, Drop) else found

    return tokens
