import sys
from pathlib import Path
from typing import Annotated

import typer

from qvl.jobs import export


def command(
    checkpoint: Annotated[
        str,
        typer.Argument(metavar="DIR", help="A Megatron checkpoint, such as checkpoints/step-..."),
    ],
    model: Annotated[
        str, typer.Option(metavar="DIR", help="Hugging Face folder that the training started from")
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="DIR", help="Hugging Face folder to write")
    ],
) -> None:
    """Turn a Megatron checkpoint into a Hugging Face folder.

    Configuration, tokenizer, template and processor are copied from --model, and so are the names,
    types and files of its tensors.

    \b
    Examples:
        $ qvl export tuned/checkpoints/step-0000002 --model twin -o early
    """
    step = export.run(Path(checkpoint), Path(model), Path(output))
    print(f"qvl export: step {step} -> {output}", file=sys.stderr)
