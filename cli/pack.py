from dataclasses import asdict
from typing import Annotated

import typer

from qvl.errors import UserError
from qvl.pack import stage, truncate

from .options import Jobs, MediaOptions, ResumableStreamOptions, ThinkTags


def command(
    media: MediaOptions,
    stream: ResumableStreamOptions,
    model: Annotated[
        str,
        typer.Option(
            metavar="DIR", help="Hugging Face folder of the template, tokenizer and image processor"
        ),
    ],
    context: Annotated[
        str, typer.Option(metavar="TOKENS", help="Tokens per pack; k and m are 2^10 and 2^20")
    ] = "32k",
    loss_weight: Annotated[
        str,
        typer.Option(
            metavar="token|sqrt|turn",
            help="Loss weight of a token in an answer of n tokens: 1, 1/sqrt(n) or 1/n (our choice). "
            "Where a question has long and short answers, the latter two make the model sample the short "
            "ones more often than the data have them",
        ),
    ] = "token",
    last_only: Annotated[
        bool | None,
        typer.Option(
            "--last-only/--all-turns",
            help="Train on the last assistant turn only, or on all; by default on all, but with a thinking "
            "template on those after the last question, as it drops the reasoning of the turns before",
        ),
    ] = None,
    think_tags: ThinkTags = False,
    too_long: Annotated[
        str,
        typer.Option(
            metavar="|".join(truncate.RULES),
            help="What to do with a record longer than a pack: reject it, truncate its end (an "
            "image only as a whole), or drop its last turns, question and answer together",
        ),
    ] = "reject",
    jobs: Jobs = 1,
) -> None:
    """Render, tokenize and pack SFT records to a context length.

    Renders each record with the chat template of the checkpoint, expands every image and every pair of
    video frames to its number of tokens, and packs several records per line by best fit. Frames are
    sampled as by qvl serve, 2 per second by their timestamps. The loss covers assistant turns and
    the <|im_end|> after them, but no turn and no text part whose `loss` is false. A record that does not fit is rejected with its reason,
    unless --too-long says how to truncate it. Reports packs, tokens and efficiency. Shuffle the records
    first.

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
        think_tags=think_tags,
        too_long=too_long,
        allow_remote=media.allow_remote,
    )
    rendering.render  # noqa: B018 - what is wrong with the model is told before anything is read
    with stream.run(
        "pack",
        config=asdict(rendering),
    ) as run:
        run.write(stage.packs(run, rendering, jobs))
