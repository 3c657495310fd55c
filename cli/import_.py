import sys
from pathlib import Path
from typing import Annotated

import typer

from qvl.jobs import export
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

    A tensor at a time is read and written, by one process without Megatron. What comes of it is read
    at any layout; --layout says for which one it is meant, and is refused where that does not fit
    the model. Then the checkpoint is read back and every tensor compared, bit for bit: status 3
    where one differs. qvl sft begins from the folder itself and needs none of this.

    \b
    Examples:
        $ qvl import twin checkpoint --layout tp=2,pp=2
        $ qvl export checkpoint twin2
    """
    wanted = parse_layout(layout)
    wanted.check(load_shape(Path(folder)), wanted.fewest_ranks)
    count = export.to_megatron(Path(folder), Path(checkpoint))
    print(f"qvl import: {count} tensors, each the same bits -> {checkpoint}", file=sys.stderr)
