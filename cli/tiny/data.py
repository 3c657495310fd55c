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
        typer.Option("--tasks", metavar="NAME,...", help=f"Some of {', '.join(tasks.TASKS)}"),
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

    The card tasks show coloured cards on a 3 x 3 grid, the cells of which are numbered from 1: card-list
    ("red5, blue2"), card-find ("red5"), card-where ("5") and card-ground (a box). A tiny model learns to
    look up a card by its name in that order.

    Some tasks are made only by name: the card tasks; mixed, sums of which some are answered at once;
    habits, right sums of which some mix languages, repeat themselves or break the format, for the
    penalties of general RL; odd-count and hard-clock, the corrective tasks of general RL (report 4.4.2): things with another number
    of parts than usual, and rotated dials with three hands.

    Examples:
        $ qvl tiny data twin-text --tasks add,sum,logic --train 2000 --test 300
        $ qvl tiny data corrective --tasks odd-count,hard-clock --train 60 --test 10 --defect-share 0
        $ qvl tiny data twin --train 1000 --test 50 && qvl check twin/raw.jsonl.zst
    """
    plan = DataPlan(
        names=tasks.names(only),
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
