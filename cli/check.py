from typing import Annotated

import typer

from qvl.errors import CheckFailed
from qvl.media import images
from qvl.streams import check

from .options import Files, MediaRoot, OnError, Plain, Rejects, Report, Shard
from .session import session


def command(
    files: Files = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write the sound records here"),
    ] = None,
    media: Annotated[bool, typer.Option("--media", help="Open every local image as well")] = False,
    media_root: MediaRoot = None,
    rejects: Rejects = None,
    on_error: OnError = "stop",
    shard: Shard = None,
    plain: Plain = False,
    report: Report = None,
) -> None:
    """Check that every record is sound, and exit with status 3 if one is not.

    Reads a stream to its end: it must be whole, every line an object, every id unique, the
    messages as qvl-records(5) says, and with --media every local image readable. Unsound records
    are counted by reason and go to --rejects; sound ones go to -o FILE, or nowhere.

    \b
    Examples:
        $ qvl check records.jsonl.zst
        $ qvl check --media --rejects bad.jsonl.zst -o good.jsonl.zst records.jsonl.zst
    """
    with session(
        "check",
        files,
        output,
        rejects=rejects,
        on_error=on_error,
        shard=shard,
        plain=plain,
        report=report,
        conserves=True,
    ) as run:
        root = images.root_of(files, media_root) if media else None
        run.write(check.sound(run, root))
    if run.reasons:
        first = f"; the first: {run.notes['first']}" if "first" in run.notes else ""
        raise CheckFailed(f"{run.reasons.total()} of {run.read} records are unsound{first}")
