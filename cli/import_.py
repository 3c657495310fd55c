import sys
from pathlib import Path
from typing import Annotated

import typer

from qvl.jobs import export
from qvl.model.layout import parse_layout
from qvl.model.shape import load_shape

from .options import Layout


def command(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Hugging Face folder to read")],
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Megatron checkpoint to write")
    ],
    layout: Layout = "",
) -> None:
    """Convert a Hugging Face folder to a Megatron checkpoint.

    Reads and writes one tensor at a time, in one process without Megatron. The checkpoint loads at any
    layout; --layout only checks that the model fits the one it is meant for. Finally the checkpoint is
    read back and every tensor compared bit for bit; the status is 3 if one differs. qvl sft starts from
    the Hugging Face folder and does not need this.

    Examples:
        $ qvl import twin checkpoint --layout tp=2,pp=2
        $ qvl export checkpoint twin2
    """
    wanted = parse_layout(layout)
    wanted.check(load_shape(Path(folder)), wanted.fewest_ranks)
    count = export.to_megatron(Path(folder), Path(checkpoint))
    print(f"qvl import: {count} tensors, each the same bits -> {checkpoint}", file=sys.stderr)
