from typing import Annotated

import typer

from qvl.errors import UserError
from qvl.streams import ratio as shares
from qvl.streams.expression import option

from .groups import without
from .options import Seed, StreamOptions


def command(
    stream: Annotated[StreamOptions, without("output", "shard")],
    pattern: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="PATTERN",
            help="Files to write; {} stands for the name of a part",
        ),
    ],
    ratio: Annotated[
        str | None,
        typer.Option(metavar="NAME=N,...", help="Split in this ratio, by a hash of --by"),
    ] = None,
    records: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Split into parts of N records, in order")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="EXPRESSION",
            help="With --ratio, what stays together, by default id; alone, one part per value; "
            "see qvl select",
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Split a stream into several files.

    With --ratio, records go to parts by a hash of --by and --seed. Records with the same value go to the
    same part, also in later data, and adding records moves no other; the ratio holds on average. With
    --records, parts are named 00001, 00002 and so on. With --by alone, each value is a part. A record
    without a value is rejected as no-key.

    All files appear when the last record is written, or none. Each carries the lineage. Memory grows by
    4 MB per part, and up to 500 parts are possible.

    Examples:
        $ qvl split --ratio train=0.9,test=0.1 records.jsonl.zst -o '{}.jsonl.zst'
        $ qvl split --ratio train=9,test=1 --by source records.jsonl.zst -o 'set-{}.jsonl.zst'
        $ qvl split --records 4 records.jsonl.zst -o 'part-{}.jsonl.zst'
        $ qvl split --by task records.jsonl.zst -o 'task-{}.jsonl.zst'
    """
    from qvl.streams.split import by_count, by_hash, by_value, split  # hashlib, fractions: 15 ms

    if [ratio, records].count(None) == 0 or (records and by) or not (ratio or records or by):
        raise UserError("give --ratio (with or without --by), --records alone, or --by alone")
    names: list[str] = []
    key = option("--by", by or "id")
    if ratio is not None:
        weights = shares.parse(ratio)
        if "=" not in ratio:
            raise UserError(f"--ratio {ratio}: expected names, as in train=0.9,test=0.1")
        names = list(weights)
        choose = by_hash(key, weights, seed)
    elif records is not None:
        choose = by_count(records)
    else:
        choose = by_value(key)
    with stream.run(
        "split",
        output=None,
        conserves=True,
        seed=seed,
        expressions=[key] if records is None else (),
        config={"ratio": ratio, "records": records, "by": by},
    ) as run:
        split(run, choose, pattern, names, plain=stream.plain, in_order=records is not None)
