from typing import Annotated

import typer

from qvl import stage
from qvl.streams.expression import option

from .groups import without
from .options import MediaOptions, StreamOptions


def command(
    media: MediaOptions,
    stream: Annotated[StreamOptions, without("shard")],
    key: Annotated[
        str,
        typer.Option(metavar="EXPRESSION", help="The text that is compared; see qvl select"),
    ] = "prompt()",
    near: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Drop texts this similar, such as 0.8, not only equal"),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            metavar="BITS",
            help="Compare images by their look, not their path: up to this many of 64 bits of a "
            "perceptual hash may differ; 4 is our choice",
        ),
    ] = None,
) -> None:
    """Drop records that ask for the same thing as an earlier one.

    Keeps the first of each kind; the others go to --rejects with "duplicate of ID". Two records are
    the same if their media are and their texts are: all turns before the answer, or what --key
    says: 'question()' is the last user turn, messages is all. Equal means but for white space.

    --near compares texts in any language by MinHash over six bytes in a row, with case and
    compatibility forms folded. The share is that of a text's pieces which both have; numbers must
    be equal, because 17 + 25 and 17 + 26 are two questions. --images finds images that were scaled
    or recompressed, and confirms by a thumbnail that no detail differs.

    Memory grows with the records kept: about 0.4 kB each, 5 kB with --near, 3 kB more an image with
    --images. --near and --images need qvl[data].

    \b
    Examples:
        $ qvl dedup records.jsonl.zst records.jsonl.zst -o unique.jsonl.zst --rejects twice.zst
        $ qvl dedup --near 0.8 records.jsonl.zst | zstdcat
        $ qvl dedup --images 4 --key 'question()' records.jsonl.zst | zstdcat
    """
    from qvl.curate.duplicates.dedup import (  # hashlib alone is 3 ms of start-up
        Dedup,
        Exact,
        References,
    )

    text = option("--key", key)
    index, shown = Exact(), References()
    if near is not None:
        from qvl.curate.duplicates.minhash import Near

        index = Near(near)
    if images is not None:
        from qvl.curate.duplicates.image_hash import Alike

        root = media.root(stream.files)
        shown = Alike(images, root, allow_remote=media.allow_remote)
    with stream.run(
        "dedup",
        conserves=True,
        config={"key": key, "near": near, "images": images},
    ) as run:
        same = Dedup(text, index, shown, drop_unreadable=stream.on_error == "reject")
        run.write(stage.keep(run, same))
