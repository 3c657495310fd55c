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
        typer.Option(
            metavar="EXPRESSION", help="Expression for the text to compare; see qvl select"
        ),
    ] = "prompt()",
    near: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Also drop texts at least this similar, such as 0.8"),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            metavar="BITS",
            help="Compare images by appearance instead of path: up to BITS of the 64 bits of a "
            "perceptual hash may differ; 4 is our choice",
        ),
    ] = None,
) -> None:
    """Drop records that ask the same as an earlier one.

    Keeps the first record of each kind; the others go to --rejects as "duplicate of ID". Two records are
    the same if they have equal media and equal text; white space is ignored. The text is all turns before
    the answer, or --key: 'question()' is the last user turn, messages is everything.

    --near compares texts in any language by MinHash over runs of six bytes, after case folding and
    compatibility normalization. SHARE is the Jaccard similarity of the two sets of runs. Numbers must be
    equal, because 17 + 25 and 17 + 26 are two questions. --images finds images that were scaled or
    recompressed, and compares thumbnails to confirm that no detail differs.

    Memory grows with the records kept: by at most 64 bytes per record, 5 kB with --near, and 3 kB more
    per image with --images. --near and --images need qvl[data].

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
        expressions=[text],
        config={"key": key, "near": near, "images": images},
    ) as run:
        same = Dedup(text, index, shown, drop_unreadable=stream.on_error == "reject")
        run.write(stage.keep(run, same))
