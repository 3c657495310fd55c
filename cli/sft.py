import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Annotated, Any

import orjson
import typer

from qvl.errors import Terminated, UserError
from qvl.io import images
from qvl.jobs import launch, sft
from qvl.jobs.sft import Settings

from .options import AllowRemote, MediaRoot, Seed


def command(
    data: Annotated[list[str], typer.Argument(metavar="FILE...", help="Packed by qvl pack")],
    model: Annotated[str, typer.Option(metavar="DIR", help="Hugging Face folder to start from")],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="DIR", help="Hugging Face folder to write")
    ],
    nproc: Annotated[
        int, typer.Option(metavar="N", help="Start N ranks on this machine; torchrun also serves")
    ] = 1,
    epochs: Annotated[float, typer.Option(help="Passes over the data")] = Settings.epochs,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps, instead of epochs")] = None,
    batch: Annotated[int, typer.Option(metavar="PACKS", help="Packs a step, over all ranks")] = (
        Settings.batch
    ),
    lr: Annotated[float, typer.Option(help="Peak learning rate")] = Settings.lr,
    min_lr_ratio: Annotated[
        float, typer.Option(help="Last learning rate, as a share of the peak")
    ] = Settings.min_lr_ratio,
    warmup_steps: Annotated[
        int | None, typer.Option(help="Steps of linear warm-up; by default 3 % of all")
    ] = None,
    schedule: Annotated[
        str, typer.Option(metavar="cosine|linear|constant", help="How the learning rate falls")
    ] = Settings.schedule,
    weight_decay: Annotated[
        float, typer.Option(help="Weight decay of matrices")
    ] = Settings.weight_decay,
    beta2: Annotated[float, typer.Option(help="AdamW's decay of the square")] = Settings.beta2,
    clip: Annotated[float, typer.Option(help="Largest norm of the gradient")] = Settings.clip,
    freeze: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Leave as it is: vision, merger or language; repeatable"),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            metavar="auto|bf16|fp32", help="Of weights and activations; auto: the checkpoint's"
        ),
    ] = Settings.precision,
    seed: Seed = Settings.seed,
    save_every: Annotated[
        int, typer.Option(metavar="STEPS", help="Checkpoint this often; 0: only when stopped")
    ] = Settings.save_every,
    log_every: Annotated[
        int, typer.Option(metavar="STEPS", help="Write to the log this often")
    ] = Settings.log_every,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from the last checkpoint in --output, if there is one"
        ),
    ] = False,
    media_root: MediaRoot = None,
    allow_remote: AllowRemote = False,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="A field of Megatron's TransformerConfig; repeatable",
        ),
    ] = None,
) -> None:
    """Fine-tune a Qwen3-VL on packed records, with Megatron-core.

    Reads packed files (not a pipe: ranks cannot share one) and writes a Hugging Face folder, with
    log.jsonl, the settings (sft.json) and checkpoints/ in it. The loss is normalised by the loss
    weights of the whole batch. SIGTERM and Ctrl-C end it after the step, with a checkpoint that
    --resume goes on from.

    \b
    Examples:
        $ qvl sft --model twin -o tuned --nproc 2 --batch 2 --lr 1e-3 --save-every 2 packed.jsonl.zst
        $ torchrun --nproc-per-node 2 --no-python qvl sft --model twin -o out packed.jsonl.zst
    """
    settings = Settings(
        model=model,
        data=tuple(data),
        output=output,
        media_root=str(images.root_of(data, media_root)),
        epochs=epochs,
        steps=steps,
        batch=batch,
        lr=lr,
        min_lr_ratio=min_lr_ratio,
        warmup_steps=warmup_steps,
        schedule=schedule,
        weight_decay=weight_decay,
        beta2=beta2,
        clip=clip,
        freeze=tuple(freeze or ()),
        precision=precision,
        seed=seed,
        save_every=save_every,
        log_every=log_every,
        resume=resume,
        allow_remote=allow_remote,
        megatron=dict(_setting(word) for word in set_ or ()),
    )
    if "RANK" not in os.environ:
        sft.check(settings)
        if sft.finished(settings):
            print(f"qvl sft: {output} is finished", file=sys.stderr)
            return
        if nproc > 1:
            raise typer.Exit(launch.launch(nproc))
    with _stop_at_signal() as stop:
        done = sft.run(settings, _say, lambda: stop.signal is not None)
    if done["stopped"]:
        if os.environ.get("RANK", "0") == "0":
            hint = f"stopped after step {done['step']} of {done['steps']}; go on with --resume"
            print(f"qvl sft: {hint}", file=sys.stderr)
        raise KeyboardInterrupt if stop.signal == signal.SIGINT else Terminated


class _Stop:
    signal: int | None = None


@contextlib.contextmanager
def _stop_at_signal() -> Iterator[_Stop]:
    """The first signal asks for the end of the step; the second one ends at once."""
    stop = _Stop()
    before: dict[int, Any] = {}

    def ask(number: int, frame: FrameType | None) -> None:
        stop.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(row: dict[str, Any]) -> None:
    print(
        f"qvl sft: step {row['step']}, loss {row['loss']:.4f}, grad norm {row['grad_norm']:.3f}, "
        f"lr {row['lr']:.3g}, {row['tokens_per_second']:,.0f} tokens/s, {row['seconds']:.0f} s",
        file=sys.stderr,
        flush=True,
    )


def _setting(word: str) -> tuple[str, Any]:
    name, equals, value = word.partition("=")
    if not (name and equals):
        raise UserError(f"--set {word}: expected FIELD=VALUE")
    try:
        return name, orjson.loads(value)
    except orjson.JSONDecodeError:
        return name, value
