from typing import Annotated

import typer

from .groups import without
from .options import Seed, StreamOptions


def command(
    stream: Annotated[StreamOptions, without("shard")],
    seed: Seed = 0,
    buffer_mib: Annotated[
        float, typer.Option(metavar="MIB", help="Records held in memory; the rest waits in $TMPDIR")
    ] = 64,
) -> None:
    """Put records in a random order, however many there are.

    Reads the stream to its end and writes every record once. The order depends on --seed and the
    input alone: the same seed gives the same bytes on any machine and with any --buffer-mib. What
    is beyond it waits in $TMPDIR, compressed, in files without a name: none outlives the command.

    \b
    Examples:
        $ qvl shuffle --seed 1 records.jsonl.zst -o shuffled.jsonl.zst
        $ qvl shuffle records.jsonl.zst --plain | head -3
    """
    from qvl.streams.shuffle import shuffled  # random alone is 5 ms of start-up

    with stream.run(
        "shuffle",
        conserves=True,
        seed=seed,
    ) as run:
        run.write(shuffled(run, seed, buffer_mib))
