from typing import Annotated

import typer

from qvl.errors import CheckFailed
from qvl.streams import check

from .groups import without
from .options import MediaOptions, StreamOptions


def command(
    media: Annotated[MediaOptions, without("allow_remote")],
    stream: Annotated[StreamOptions, without("output")],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write the valid records to this file"),
    ] = None,
    open_media: Annotated[
        bool, typer.Option("--media", help="Also decode every local image and video")
    ] = False,
) -> None:
    """Check that every record is valid, and exit with status 3 if one is not.

    Reads the stream to its end. The stream must be complete, every line an object, every id unique, the
    messages as in qvl-records(5), and with --media every local image and video readable. Invalid records are
    counted by reason and go to --rejects; valid ones go to -o FILE, if it is given.

    Examples:
        $ qvl check records.jsonl.zst
        $ qvl check --media --rejects bad.jsonl.zst -o good.jsonl.zst records.jsonl.zst
    """
    with stream.run("check", output=output, conserves=True) as run:
        root = media.root(stream.files) if open_media else None
        run.write(check.sound(run, root))
    if run.reasons:
        first = f"; the first: {run.notes['first']}" if "first" in run.notes else ""
        raise CheckFailed(f"{run.reasons.total()} of {run.read} records are invalid{first}")
