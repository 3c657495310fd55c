from typing import Annotated

import typer

from qvl import stage
from qvl.errors import UserError
from qvl.streams.assignments import Assignments

from .options import StreamOptions, refuse_file


def command(
    stream: StreamOptions,
    assignments: Annotated[
        str,
        typer.Argument(
            metavar="ASSIGNMENTS", help="Fields to set, as in 'answer = final(), task = \"vqa\"'"
        ),
    ],
) -> None:
    """Set fields of every record by expressions.

    ASSIGNMENTS are FIELD = EXPRESSION, joined with commas; expressions are those of qvl select. A field
    may be inside an object, which is made where it is missing: scores.mine.length = len(final()). It may
    be an element that a list has: messages[0].role = "system". Each assignment sees what those before it
    have set. An expression that is null, as one of a missing field is, removes the field.

    A record whose field cannot be set is an error, or cannot-set in --rejects with --on-error reject: the
    value around it is not an object, the list has no such element, a number is beyond 64 bits, or the id
    would not be a string that is not empty.

    Examples:
        $ qvl set 'task = "vqa", answer = final()' records.jsonl.zst | zstdcat
        $ qvl set 'scores.length.value = len(final())' records.jsonl.zst -o measured.jsonl
        $ qvl set 'id = "first/" + id' records.jsonl.zst | zstdcat
        $ qvl set 'task = lower(task), scores = null' records.jsonl.zst | zstdcat
    """
    refuse_file("ASSIGNMENTS", assignments, "qvl set 'task = \"vqa\"' FILE")
    try:
        work = Assignments(assignments)
    except UserError as error:
        raise UserError(f"ASSIGNMENTS: {error}") from None
    with stream.run(
        "set", conserves=True, expressions=[work], config={"assignments": assignments}
    ) as run:
        work.run = run
        run.write(stage.each(run, work))
