import sys
from pathlib import Path
from typing import Annotated

import typer

from qvl.errors import UserError
from qvl.jobs import export


def command(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT", help="Checkpoint of qvl import, or one in OUT/checkpoints/"
        ),
    ],
    output: Annotated[str, typer.Argument(metavar="DIR", help="Hugging Face folder to write")],
) -> None:
    """Convert a Megatron checkpoint to a Hugging Face folder.

    One process without Megatron reads what ranks of any layout wrote. One tensor at a time is assembled,
    written and read back, so memory holds a few of them. Names, types and files of the tensors
    are those of the original folder, and so are configuration, tokenizer, template and processor.

    Examples:
        $ qvl export tuned/checkpoints/step-0000002 early
    """
    if Path(output).exists() and any(Path(output).iterdir()):
        raise UserError(f"{output}: exists and is not empty")
    count = export.from_megatron(Path(checkpoint), Path(output))
    print(f"qvl export: {count} tensors -> {output}", file=sys.stderr)
