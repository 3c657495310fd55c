from dataclasses import asdict
from typing import Annotated

import typer

from qvl.errors import UserError
from qvl.pack import stage, truncate

from .options import Jobs, MediaOptions, ResumableStreamOptions


def command(
    media: MediaOptions,
    stream: ResumableStreamOptions,
    model: Annotated[
        str,
        typer.Option(metavar="DIR", help="Hugging Face folder: template, tokenizer, image sizes"),
    ],
    context: Annotated[
        str, typer.Option(metavar="TOKENS", help="Tokens a pack; k and m are 2^10 and 2^20")
    ] = "32k",
    loss_weight: Annotated[
        str,
        typer.Option(
            metavar="token|sqrt|turn",
            help="Loss weight of a token in an answer of n tokens: 1, 1/sqrt(n) or 1/n. "
            "Not published; our choice is 1",
        ),
    ] = "token",
    last_only: Annotated[
        bool, typer.Option("--last-only", help="Learn the last assistant turn, not every one")
    ] = False,
    too_long: Annotated[
        str,
        typer.Option(
            metavar="|".join(truncate.RULES),
            help="A record longer than a pack is rejected, loses its end (an image only whole), or "
            "loses its last turns, question and answer together",
        ),
    ] = "reject",
    jobs: Jobs = 1,
) -> None:
    """Render, tokenise and pack SFT records to a context length.

    Renders each record with the checkpoint's own chat template, expands every image and every pair of
    a video's frames to its number of tokens, and puts several records in one line by best fit. Frames
    are chosen as by qvl serve, 2 a second, and stand behind their times. Assistant turns and the
    <|im_end|> after them are learnt, nothing else is. A record that does not fit is rejected with
    its reason, unless --too-long says how to cut it. Reports packs, tokens and efficiency. Shuffle
    the records first.

    \b
    Examples:
        $ qvl pack --model twin --rejects long.jsonl.zst raw.jsonl.zst -o packed.jsonl.zst
        $ qvl cat raw.jsonl.zst | qvl pack --model twin --context 4k --loss-weight sqrt | zstdcat
    """
    try:
        tokens = stage.parse_size(context)
    except ValueError as error:
        raise UserError(f"--context: {error}") from None
    rendering = stage.Rendering(
        model=model,
        media_root=str(media.root(stream.files)),
        context=tokens,
        weight=loss_weight,
        last_only=last_only,
        too_long=too_long,
        allow_remote=media.allow_remote,
    )
    rendering.render  # noqa: B018 - what is wrong with the model is told before anything is read
    with stream.run(
        "pack",
        config=asdict(rendering),
    ) as run:
        run.write(stage.packs(run, rendering, jobs))
