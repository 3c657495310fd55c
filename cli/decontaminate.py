from pathlib import Path
from typing import Annotated

import typer

from qvl import stage
from qvl.curate import fields
from qvl.io import jsonl

from .options import MediaOptions, StreamOptions


def command(
    media: MediaOptions,
    stream: StreamOptions,
    against: Annotated[
        list[str],
        typer.Option("--against", metavar="EVAL", help="A set of evaluation records; repeatable"),
    ],
    ngram: Annotated[
        int,
        typer.Option(metavar="N", min=2, help="Words in a row that tell a match (our choice)"),
    ] = 13,
    common: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="A run of words in more evaluation records than this is a template's, and tells none",
        ),
    ] = 10,
    questions: Annotated[
        bool, typer.Option("--questions", help="Look at the user's turns only, not at answers")
    ] = False,
    images: Annotated[
        int | None,
        typer.Option(
            metavar="BITS",
            help="Compare images too: equal, or alike in all but so many of 64 bits of a perceptual "
            "hash; 4 is our choice",
        ),
    ] = None,
) -> None:
    """Drop records that hold what an evaluation set asks.

    Reads the evaluation sets first, then records; passes on those that share no run of --ngram words
    with a question of theirs. What goes, goes to --rejects with the reason ngram or image and the match:
    the file, the record and the words. Case, punctuation and compatibility forms count for nothing; where
    no spaces part words, as in Chinese, each character is one. A shorter question matches as a whole, from
    five words on, unless it shows an image: then the words are a template's.

    --images also drops what shows an image of an evaluation record, be it scaled or recompressed; a
    thumbnail confirms that no detail differs. It needs qvl[data]. Images of an evaluation set lie beside
    it, those of the records below --media-root.

    Memory grows with the evaluation sets, about 100 bytes a word and 3 kB an image, and not with what is
    cleaned.

    \b
    Examples:
        $ qvl decontaminate --against sampled.jsonl.zst records.jsonl.zst | zstdcat
        $ qvl decontaminate --against sampled.jsonl.zst --images 4 --rejects seen.zst records.jsonl.zst -o clean.zst
    """
    from qvl.curate.duplicates.decontaminate import (
        Contamination,
        Grams,
        Images,
        Match,
        asked,
        everything,
    )

    grams = Grams(ngram, common)
    shown = None
    if images is not None:
        root = media.root(stream.files)
        shown = Images(images, root, allow_remote=media.allow_remote)
    for path in against:
        for number, record in enumerate(jsonl.read(path), 1):
            where = Match(Path(path).name, str(record.get("id", number)))
            shows_media = fields.media_kind(record) != "text"
            grams.add(asked(record), where, shown=shows_media)
            if shown:
                shown.add(record, Path(path).parent, where)
    templates = grams.close()
    with stream.run(
        "decontaminate",
        conserves=True,
        config={"against": against, "ngram": ngram, "common": common, "images": images},
    ) as run:
        run.note(runs=len(grams), template_runs=templates)
        text = asked if questions else everything
        run.write(
            stage.keep(
                run, Contamination(grams, text, shown, drop_unreadable=stream.on_error == "reject")
            )
        )
