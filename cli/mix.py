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
            help="Shares by name of bucket, or one a FILE in their order",
        ),
    ] = "text=1,multimodal=2",
    by: Annotated[
        str,
        typer.Option(metavar="EXPRESSION", help="What names a record's bucket; see qvl select"),
    ] = "modality()",
    oversample: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Let a bucket that runs dry begin again, N times"),
    ] = 0,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Hold the ratio in each N records, by largest remainder"
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Mix records in a fixed ratio, kept all along the stream.

    Buckets are told by a field, or are the files. At any point of the output each bucket is within
    two records of its share, in an order that --seed decides; within a bucket the order stays, so
    shuffle first. Memory is bounded: what is early waits in $TMPDIR.

    Where a bucket runs dry the mix ends, and what is left of the others goes to --rejects as
    over-ratio; a record of no bucket goes there as no-bucket. With --oversample a dry bucket begins
    again, its records with -repeat1 added to their ids, until the others are used up.

    With --batch-size each N records that follow one another hold the same number of each bucket, in a
    random order, as reinforcement learning wants it; what fills no batch is over-ratio too.

    sft is the report's (4.2.1), text=1,multimodal=2, and cold-start (4.2.2) text=1,multimodal=1.

    \b
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
        config={"ratio": ratio, "by": by, "oversample": oversample, "batch_size": batch_size},
    ) as run:
        run.write(mix(run, key, ratio, seed, oversample, batch=batch_size))
