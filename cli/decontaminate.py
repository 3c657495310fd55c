from pathlib import Path
from typing import Annotated

import typer

from qvl import stage
from qvl.io import jsonl
from qvl.record import media_kind

from .options import MediaOptions, StreamOptions


def command(
    media: MediaOptions,
    stream: StreamOptions,
    against: Annotated[
        list[str],
        typer.Option("--against", metavar="EVAL", help="Evaluation set, as records; repeatable"),
    ],
    ngram: Annotated[
        int,
        typer.Option(metavar="N", min=2, help="Consecutive words that make a match (our choice)"),
    ] = 13,
    common: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Ignore runs of words that more than N evaluation records share, as of a template",
        ),
    ] = 10,
    questions: Annotated[
        bool, typer.Option("--questions", help="Check user turns only, not answers")
    ] = False,
    images: Annotated[
        int | None,
        typer.Option(
            metavar="BITS",
            help="Also compare images: up to BITS of the 64 bits of a perceptual hash may differ; "
            "4 is our choice",
        ),
    ] = None,
) -> None:
    """Drop records that contain questions of an evaluation set.

    Reads the evaluation sets first, then the records, and keeps those that share no run of --ngram words
    with a question of theirs. Dropped records go to --rejects with the reason ngram or image, and with
    the file, the record and the words that matched. Case, punctuation and compatibility forms are
    ignored; in scripts without spaces, such as Chinese, each character is a word. A question of fewer
    than --ngram words matches only as a whole, and only if it has five words or more. One that shows an
    image does not match by its words at all if it is that short, because such words are a template.

    --images also drops records that show an image of an evaluation record, be it scaled or recompressed;
    a thumbnail confirms that no detail differs. It needs qvl[data]. Images of an evaluation set are
    relative to its folder, those of the records to --media-root.

    Memory grows with the evaluation sets, by about 100 bytes per word and 3 kB per image, and not with
    the records.

    Examples:
        $ qvl decontaminate --against sampled.jsonl.zst records.jsonl.zst | zstdcat
        $ qvl decontaminate --against sampled.jsonl.zst --images 4 --rejects seen.zst records.jsonl.zst -o clean.zst
    """
    from qvl.curate.duplicates.decontaminate import (
        Contamination,
        Grams,
        Images,
        Match,
        all_texts,
        user_texts,
    )

    grams = Grams(ngram, common)
    gallery = None
    if images is not None:
        root = media.root(stream.files)
        gallery = Images(images, root, allow_remote=media.allow_remote)
    for path in against:
        for number, record in enumerate(jsonl.read(path), 1):
            where = Match(Path(path).name, str(record.get("id", number)))
            has_media = media_kind(record) != "text"
            grams.add(user_texts(record), where, has_media=has_media)
            if gallery:
                gallery.add(record, Path(path).parent, where)
    templates = grams.close()
    with stream.run(
        "decontaminate",
        conserves=True,
        config={"against": against, "ngram": ngram, "common": common, "images": images},
    ) as run:
        run.note(runs=len(grams), template_runs=templates)
        text = user_texts if questions else all_texts
        run.write(
            stage.keep(
                run,
                Contamination(grams, text, gallery, drop_unreadable=stream.on_error == "reject"),
            )
        )
