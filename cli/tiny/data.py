import sys
from pathlib import Path
from typing import Annotated

import typer

from qvl.tiny import data, tasks
from qvl.tiny.data import DataPlan
from qvl.tiny.folder import new_folder

from ..options import Seed


def command(
    out: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder to create")],
    train: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Total training records, before duplicates are added; by default the sum over "
            f"the tasks, {data.DEFAULT_TRAIN:,} (our choice)",
        ),
    ] = None,
    test: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Test records, equally many per task"),
    ] = DataPlan.test,
    only: Annotated[
        str,
        typer.Option(
            "--tasks",
            metavar="NAME[=SHARE],...",
            help=f"Some of {', '.join(tasks.TASKS)}; SHARE of the training records, for all or none",
        ),
    ] = ",".join(tasks.DEFAULT),
    defect_share: Annotated[
        float,
        typer.Option(metavar="X", min=0, max=0.5, help="Share of training records with a defect"),
    ] = DataPlan.defect_share,
    thinking: Annotated[
        bool,
        typer.Option("--thinking", help="Write steps to reasoning_content instead of the answer"),
    ] = False,
    seed: Seed = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing set")] = False,
) -> None:
    """Write a raw training set with defects and a clean test set, with their images.

    OUT_DIR appears only when complete, with raw.jsonl.zst (conversations that end in the answer to
    learn), test.jsonl.zst (single questions with their `answer`), images/, and defects.jsonl.zst, which
    lists the defects of the raw set: vague and empty queries, duplicates, wrong answers, loops,
    truncated answers, mixed languages. `source` is tiny/NAME. The last line of an answer is the final
    answer. Handwriting and photographs are real; the rest is drawn or computed. The same seed gives the
    same files, and no test set shares a sample with any training set, whatever their seeds.

    The card tasks show coloured cards on a 3 x 3 grid, the cells of which are numbered from 1: card-given
    ("red5, blue2", of which only the numbers are learned), card-find ("red5"), card-where ("5") and
    card-ground (a box). In that order a tiny model learns to look up a card by its name, as
    examples/recipe.sh teaches it. card-list is card-given with its names to learn, too.

    For a model that knows these, by name only: card-sum, long-sum (eight numbers) and longer-sum (twelve),
    whose steps are a thought between <think> and </think>; card-album, a conversation about up to 240
    images, of up to 8K tokens.

    The others are made only by name. colour, ground, caption: free shapes, and words for places, which a
    tiny model does not learn within minutes. clock: learned in some 550 steps by a model that knows cards.

    For reinforcement learning: mixed, sums of which a share has its steps, and the others are answered at
    once, mostly wrong where a model does it. habits: right sums, of which some mix languages, repeat
    themselves or break the format, for the penalties of general RL. card-think: card-where after a
    thought ("red5"). card-mixed: a share has the thought; the others are as of a hurried annotator who
    names the cell of any card, so the model that learns this has a choice to learn. Their wrong answers
    are meant, so do not curate them. odd-count and hard-clock, the corrective tasks of general RL (report
    4.4.2): things with another number of parts than usual, and rotated dials with three hands.

    For an agent that zooms: cards with a digit that is too small to read, for a model of tiny model
    --max-image-tokens 12. zoom-read: a crop alone. zoom-none, -one, -two: questions that need so many calls
    of image_zoom_in_tool, with the calls and what they return; zoom-first: -two up to its first call.
    zoom-direct: as -one, without the tool, to compare. zoom-habit: mostly one call, whatever the question
    needs; a start for reinforcement learning. calls_needed says how many.

    What a model can do is replayed by giving it a share: sum=8,card-find=1,card-where=1.

    Examples:
        $ qvl tiny data twin-text --tasks add,sum,logic --train 2000 --test 300
        $ qvl tiny data corrective --tasks odd-count,hard-clock --train 60 --test 10 --defect-share 0
        $ qvl tiny data sums --tasks sum=8,card-find=1,card-where=1 --train 500 --test 30 --defect-share 0
        $ qvl tiny data agent --tasks zoom-none,zoom-one,zoom-two --train 90 --test 9 --defect-share 0
        $ qvl tiny data twin --train 1000 --test 50 && qvl check twin/raw.jsonl.zst
    """
    shares = tasks.shares(only)
    plan = DataPlan(
        names=list(shares),
        shares=shares,
        seed=seed,
        train=train,
        test=test,
        defect_share=defect_share,
        thinking=thinking,
    )
    with new_folder(out, force=force, mark=data.RAW) as folder:
        counts = data.write(folder, plan)
    parts = (f"{name} {number:,}" for name, number in counts.items())
    print(f"qvl tiny data: {', '.join(parts)}", file=sys.stderr)
