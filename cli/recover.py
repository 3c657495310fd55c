from typing import Annotated

from qvl.io import salvage

from .groups import without
from .options import StreamOptions


def command(
    stream: Annotated[StreamOptions, without("on_error", "shard")],
) -> None:
    """Save the complete records of a truncated or corrupted stream.

    Writes every record up to the damage, and from the next zstd frame on where the stream has several. A
    record of which only a part remains is dropped and counted, and --rejects holds its place; nothing is
    guessed.

    Examples:
        $ cat records.jsonl.zst records.jsonl.zst | head -c 1300 | qvl recover | zstdcat
    """
    with stream.run("recover", files=None, terminal="-" in (stream.files or "-")) as run:
        for path in stream.files or ["-"]:
            for record in salvage.records(path, lambda *damage: run.reject({}, *damage)):
                run.read += 1
                run.put(record)
