import sys
from pathlib import Path
from typing import Annotated

import typer

from qvl.errors import UserError
from qvl.tiny import config, model
from qvl.tiny.folder import new_folder

from ..options import Seed


def command(
    out: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder to create")],
    size: Annotated[
        str,
        typer.Option(
            metavar="|".join(config.SIZES),
            help="Size: 0.5, 1.1, 2.7 or 4.8 million parameters if dense (our choice)",
        ),
    ] = "xs",
    layers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Layers of the language model, at least 3; by default 3 or 4, depending on --size",
        ),
    ] = None,
    image_tokens: Annotated[
        int,
        typer.Option(
            "--max-image-tokens",
            metavar="N",
            min=1,
            help="Most tokens of an image, each of 32 x 32 pixels; larger ones are scaled down",
        ),
    ] = config.MAX_IMAGE_TOKENS,
    moe: Annotated[
        bool, typer.Option("--moe", help="Use 8 experts per layer, 2 of them per token")
    ] = False,
    thinking: Annotated[
        bool, typer.Option("--thinking", help="Use the chat template of the thinking models")
    ] = False,
    seed: Seed = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing checkpoint")] = False,
) -> None:
    """Write a tiny Qwen3-VL checkpoint with random weights, in Hugging Face format.

    OUT_DIR appears only when complete: configuration, weights, a byte-level BPE tokenizer of 506 tokens
    with Qwen's special tokens, image and video processors, and a chat template that renders the same as
    the real one. transformers, vLLM and SGLang load it. Train it with qvl sft.

    Examples:
        $ qvl tiny model student --size xxs
        $ qvl tiny model twin --moe --thinking --seed 7
    """
    if size not in config.SIZES:
        raise UserError(f"--size {size}: expected one of {', '.join(config.SIZES)}")
    with new_folder(out, force=force, mark="config.json") as folder:
        number = model.write(
            folder,
            size,
            moe=moe,
            thinking=thinking,
            seed=seed,
            layers=layers,
            image_tokens=image_tokens,
        )
    kind = "MoE" if moe else "dense"
    print(f"qvl tiny model: {out}: {kind}, {number / 1e6:.2f} million parameters", file=sys.stderr)
