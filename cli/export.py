import sys
from pathlib import Path
from typing import Annotated

import typer

from qvl.errors import UserError
from qvl.jobs import export, launch
from qvl.model.layout import parse_layout

from .options import Layout


def command(
    checkpoint: Annotated[
        str,
        typer.Argument(metavar="CHECKPOINT", help="Of qvl import, or one in OUT/checkpoints/"),
    ],
    output: Annotated[str, typer.Argument(metavar="DIR", help="Hugging Face folder to write")],
    layout: Layout = "",
) -> None:
    """Turn a Megatron checkpoint into a Hugging Face folder.

    Whatever layout the checkpoint was written at, it is read at --layout, by as many processes as
    that needs. A file of tensors at a time is put together, written and read back; their names,
    types and files are those of the folder that it all began with, and so are configuration,
    tokenizer, template and processor.

    \b
    Examples:
        $ qvl export tuned/checkpoints/step-0000002 early
    """
    if Path(output).exists() and any(Path(output).iterdir()):
        raise UserError(f"{output}: is there already")
    export.skeleton_of(Path(checkpoint))
    wanted = parse_layout(layout)
    ended = launch.as_ranks(wanted.fewest_ranks)
    if ended is not None:
        raise typer.Exit(ended)
    with launch.ranks_told_by_one():
        step = export.from_megatron(Path(checkpoint), Path(output), wanted)
    if launch.is_first():
        print(f"qvl export: step {step} -> {output}", file=sys.stderr)
