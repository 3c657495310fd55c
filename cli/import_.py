import sys
from pathlib import Path
from typing import Annotated

import typer

from qvl.jobs import export, launch
from qvl.model.layout import parse_layout
from qvl.model.shape import load_shape

from .options import Layout


def command(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Hugging Face folder")],
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Megatron checkpoint to write")
    ],
    layout: Layout = "",
) -> None:
    """Turn a Hugging Face folder into a Megatron checkpoint.

    Written by as many processes as --layout shares a model among, each with its own part. Then the
    checkpoint is read back and every tensor compared, bit for bit: status 3 where one differs.
    qvl sft begins from the folder itself and needs none of this.

    \b
    Examples:
        $ qvl import twin checkpoint --layout tp=2,pp=2
        $ qvl export checkpoint twin2 --layout tp=2
    """
    wanted = parse_layout(layout)
    wanted.check(load_shape(Path(folder)), wanted.fewest_ranks)
    ended = launch.as_ranks(wanted.fewest_ranks)
    if ended is not None:
        raise typer.Exit(ended)
    with launch.ranks_told_by_one():
        count = export.to_megatron(Path(folder), Path(checkpoint), wanted)
    if launch.is_first():
        print(f"qvl import: {count} tensors, each the same bits -> {checkpoint}", file=sys.stderr)
