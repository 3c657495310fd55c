from typing import Annotated

import typer

from qvl.streams.expression import option

from .groups import without
from .options import Seed, StreamOptions


def command(
    stream: Annotated[StreamOptions, without("shard")],
    ratio: Annotated[
        str,
        typer.Option(
            metavar="NAME=N,...|N,...",
            help="Shares by bucket, or one per FILE in order; or sft, cold-start",
        ),
    ] = "text=1,multimodal=2",
    by: Annotated[
        str,
        typer.Option(
            metavar="EXPRESSION", help="Expression for the bucket of a record; see qvl select"
        ),
    ] = "modality()",
    oversample: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Repeat a bucket that runs out, up to N times"),
    ] = 0,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Hold the ratio in every N records, by largest remainder"
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Mix records in a fixed ratio that holds throughout the stream.

    A record's bucket is the value of --by, or its file where --ratio has no names. At every point of
    the output, each bucket is within two records of its share. --seed decides the order of the buckets;
    within a bucket the order stays, so shuffle first. Memory is bounded: records that are read too early
    wait in $TMPDIR.

    The mix ends when a bucket runs out. The remaining records of the others go to --rejects as
    over-ratio, records without a bucket as no-bucket. With --oversample, a bucket that runs out starts
    again, with -repeat1 added to its ids, until the others are used up.

    With --batch-size, every N consecutive records hold the same number of each bucket, in random order,
    as reinforcement learning needs it; records that fill no batch are over-ratio too.

    The ratio sft is the report's (4.2.1), text=1,multimodal=2; cold-start (4.2.2) is text=1,multimodal=1.

    Examples:
        $ qvl mix records.jsonl.zst | zstdcat
        $ qvl mix --ratio cold-start --seed 3 records.jsonl.zst -o cold.jsonl.zst
        $ qvl mix --by task --ratio math=1,chat=1 --oversample 2 records.jsonl.zst | zstdcat
        $ qvl mix --by task --ratio math=1,chat=1 --batch-size 2 records.jsonl.zst | zstdcat
        $ qvl mix --ratio 0.3,0.7 records.jsonl.zst records.jsonl.zst --rejects left.zst | zstdcat
    """
    from qvl.streams.mix import mix  # fractions and random are 15 ms of start-up

    key = option("--by", by)
    with stream.run(
        "mix",
        conserves=not oversample,
        seed=seed,
        expressions=[key],
        config={"ratio": ratio, "by": by, "oversample": oversample, "batch_size": batch_size},
    ) as run:
        run.write_lines(mix(run, key, ratio, seed, oversample, batch=batch_size))
