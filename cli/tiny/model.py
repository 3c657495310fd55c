import sys
from pathlib import Path
from typing import Annotated

import typer

from qvl.errors import UserError
from qvl.tiny import config, model
from qvl.tiny.folder import new_folder

from ..options import Seed


def command(
    out: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="The folder to make")],
    size: Annotated[
        str,
        typer.Option(
            metavar="|".join(config.SIZES),
            help="0.5, 1.1, 2.7 or 4.8 million parameters, where dense (our choice)",
        ),
    ] = "xs",
    layers: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Of the language model, 3 or more; by default the size's, 3 or 4"
        ),
    ] = None,
    moe: Annotated[
        bool, typer.Option("--moe", help="8 experts in each layer, 2 of them for a token")
    ] = False,
    thinking: Annotated[
        bool, typer.Option("--thinking", help="The chat template of the thinking models")
    ] = False,
    seed: Seed = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a checkpoint that is there")
    ] = False,
) -> None:
    """Write a tiny Qwen3-VL checkpoint with random weights, in Hugging Face format.

    OUT_DIR appears whole: configuration, weights, a byte-level BPE tokenizer of 506 tokens with
    Qwen's special tokens, image and video processor, and a chat template that renders what the
    real one renders. transformers, vLLM and SGLang load it. Train it with qvl-sft(1).

    \b
    Examples:
        $ qvl tiny model student --size xxs
        $ qvl tiny model twin --moe --thinking --seed 7
    """
    if size not in config.SIZES:
        raise UserError(f"--size {size}: there are {', '.join(config.SIZES)}")
    with new_folder(out, force=force, mark="config.json") as folder:
        number = model.write(folder, size, moe=moe, thinking=thinking, seed=seed, layers=layers)
    kind = "MoE" if moe else "dense"
    print(f"qvl tiny model: {out}: {kind}, {number / 1e6:.2f} million parameters", file=sys.stderr)
