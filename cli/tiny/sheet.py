import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from qvl.errors import UserError
from qvl.tiny import sheet

from ..groups import without
from ..options import MediaOptions, StreamOptions


def command(
    stream: Annotated[StreamOptions, without("output", "plain", "shard")],
    media: MediaOptions,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="Image to write, such as x.png")
    ] = Path("sheet.png"),
    columns: Annotated[
        int, typer.Option(metavar="N", min=1, help="Images per source (our choice)")
    ] = 6,
) -> None:
    """Draw a sheet of images with their questions and a model's answers.

    Reads scored responses and draws, per source, the first records with one image: the question, the
    answer in green, or in red and with the reference, and its boxes in the image. The first, whether
    right or wrong, so that the sheet shows what the table of qvl eval says. A record without a response
    is drawn with its reference.

    Examples:
        $ qvl tiny data twin --tasks card-where,digit --train 20 --test 12 && qvl tiny sheet twin/test.jsonl.zst
    """
    with stream.run("tiny sheet", output=None, conserves=True) as run:
        rows = sheet.chosen(_read(run), columns)
        root = media.root(stream.files)
        page = sheet.sheet(rows, root, allow_remote=media.allow_remote)
        try:
            page.save(output)
        except (OSError, ValueError) as error:
            raise UserError(f"{output}: {error}") from None
    print(f"qvl tiny sheet: {output}: {sum(map(len, rows))} images", file=sys.stderr)


def _read(run: Any) -> Iterator[dict]:
    for record in run:
        yield record
        run.put(record)
