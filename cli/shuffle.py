from typing import Annotated

import typer

from .groups import without
from .options import Seed, StreamOptions


def command(
    stream: Annotated[StreamOptions, without("shard")],
    seed: Seed = 0,
    buffer_mib: Annotated[
        float,
        typer.Option(
            metavar="MIB", help="Size of the records held in memory; the rest waits in $TMPDIR"
        ),
    ] = 64,
) -> None:
    """Put the records of a stream of any size in random order.

    Reads the stream to its end and writes every record once. The order depends only on --seed and the
    input: the same seed gives the same bytes on any machine and with any --buffer-mib. Records beyond
    the buffer wait in $TMPDIR, uncompressed, in unnamed files that vanish with the command.

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
        run.write_lines(shuffled(run.as_read(), seed, buffer_mib))
