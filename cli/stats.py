import sys
from typing import Annotated

import orjson
import typer

from qvl.io import jsonl
from qvl.streams.expression import option

from .groups import without
from .options import StreamOptions


def command(
    stream: Annotated[StreamOptions, without("output", "plain")],
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPRESSION",
            help="Expression to count by, see qvl select; repeatable; by default media(), task and source",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object")] = False,
) -> None:
    """Print the contents of a stream: counts, shares and sizes.

    Reads the stream once, in bounded memory. Prints how many records have an answer, reasoning, images
    and so on; how many have each task, source and medium, or each value of --by (up to 10,000 values are
    counted separately); and the mean, percentiles and maximum of turns, characters, images, responses
    and rewards. Percentiles are accurate to 1 %.

    Examples:
        $ qvl stats records.jsonl.zst
        $ qvl stats --by task --by 'len(messages)' --json records.jsonl.zst
        $ qvl select 'modality() == "text"' records.jsonl.zst | qvl stats
    """
    from qvl.streams.stats import Stats, table  # random, which mix imports, is 5 ms of start-up

    groups = {key: option("--by", key) for key in by or ["media()", "task", "source"]}
    stats = Stats(groups)
    with stream.run(
        "stats", output=None, conserves=True, expressions=groups.values() if by else ()
    ) as run:
        for record in run.as_read():
            stats.add(record, len(jsonl.encode(record)))
            run.put(record)
        facts = stats.facts()
        text = (
            orjson.dumps(facts, option=orjson.OPT_INDENT_2) + b"\n"
            if json
            else table(facts).encode()
        )
        sys.stdout.buffer.write(text)
        sys.stdout.flush()
