import sys
from pathlib import Path
from typing import Annotated

import typer

from qvl.errors import UserError
from qvl.jobs import export


def command(
    checkpoint: Annotated[
        str,
        typer.Argument(metavar="CHECKPOINT", help="Of qvl import, or one in OUT/checkpoints/"),
    ],
    output: Annotated[str, typer.Argument(metavar="DIR", help="Hugging Face folder to write")],
) -> None:
    """Turn a Megatron checkpoint into a Hugging Face folder.

    One process reads what ranks of any layout have written, without Megatron. A file of tensors at
    a time is put together, written and read back, and no more than that is in memory. Their names,
    types and files are those of the folder that it all began with, and so are configuration,
    tokenizer, template and processor.

    \b
    Examples:
        $ qvl export tuned/checkpoints/step-0000002 early
    """
    if Path(output).exists() and any(Path(output).iterdir()):
        raise UserError(f"{output}: is there already")
    count = export.from_megatron(Path(checkpoint), Path(output))
    print(f"qvl export: {count} tensors -> {output}", file=sys.stderr)
