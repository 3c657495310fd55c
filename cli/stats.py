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
            help="Count records by this; repeatable; if not given by media(), task and source",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write one JSON object")] = False,
) -> None:
    """Print what a stream holds: counts, shares and sizes.

    Reads the stream once, in bounded memory. Prints how many records have an answer, reasoning,
    images and so on; how many there are of each task, source and medium, or of what --by says (see
    qvl select; 10,000 values at most are counted apart); and the mean, percentiles and maximum of
    turns, characters, images, responses and rewards. Percentiles are right within 1 %.

    \b
    Examples:
        $ qvl stats records.jsonl.zst
        $ qvl stats --by task --by 'len(messages)' --json records.jsonl.zst
        $ qvl select 'modality() == "text"' records.jsonl.zst | qvl stats
    """
    from qvl.streams.stats import Stats, table  # random, which mix imports, is 5 ms of start-up

    groups = {key: option("--by", key) for key in by or ["media()", "task", "source"]}
    stats = Stats(groups)
    with stream.run("stats", output=None, conserves=True) as run:
        for record in run:
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
