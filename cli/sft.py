import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import orjson
import typer

from qvl.errors import Terminated, UserError
from qvl.jobs import sft
from qvl.train import launch
from qvl.train.settings import SCHEDULES, Settings, check, finished

from .options import Layout, MediaOptions, ResumableStreamOptions, Seed


def command(
    media: MediaOptions,
    data: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Packed by qvl pack, or see --context")
    ],
    model: Annotated[str, typer.Option(metavar="DIR", help="Hugging Face folder to start from")],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="DIR", help="Hugging Face folder to write")
    ],
    nproc: Annotated[
        int, typer.Option(metavar="N", help="Start N ranks on this machine; torchrun also serves")
    ] = 1,
    layout: Layout = Settings.layout,
    context: Annotated[
        str | None,
        typer.Option(metavar="TOKENS", help="Pack the records of FILE to this length first: 32k"),
    ] = None,
    interleave: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Put packs of this file between the others; repeatable"),
    ] = None,
    interleave_share: Annotated[
        float, typer.Option(metavar="X", help="Their share of the packs (our choice)")
    ] = Settings.interleave_share,
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
        str, typer.Option(metavar="|".join(SCHEDULES), help="How the learning rate falls")
    ] = Settings.schedule,
    decay_share: Annotated[
        float, typer.Option(metavar="X", help="Share of the steps over which wsd decays")
    ] = Settings.decay_share,
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
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Compute activations again instead of keeping them")
    ] = False,
    overlap: Annotated[
        bool | None,
        typer.Option(
            "--overlap/--no-overlap",
            help="Send gradients and parameters while a step is computed; by default on GPUs",
        ),
    ] = None,
    moe_aux_loss: Annotated[
        float | None,
        typer.Option(
            "--moe-aux-loss",
            metavar="X",
            min=0,
            help="Weight of the experts' load-balancing loss; by default the checkpoint's",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Processes a rank that cut images ahead of time"),
    ] = None,
    max_jump: Annotated[
        float,
        typer.Option(
            metavar="NATS",
            min=0,
            help="Take no step whose loss is so far above the last ones' median; 0: any finite one",
        ),
    ] = Settings.max_jump,
    on_spike: Annotated[
        str, typer.Option(metavar="stop|skip", help="At such a step, or one that is not finite")
    ] = Settings.on_spike,
    seed: Seed = Settings.seed,
    save_every: Annotated[
        int, typer.Option(metavar="STEPS", help="Checkpoint this often; 0: only when stopped")
    ] = Settings.save_every,
    log_every: Annotated[
        int, typer.Option(metavar="STEPS", help="Write to the log this often")
    ] = Settings.log_every,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the figures for TensorBoard too")
    ] = False,
    peak_teraflops: Annotated[
        float | None,
        typer.Option(metavar="X", help="Of one device, for the MFU; known for the usual GPUs"),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from the last checkpoint in --output, if there is one"
        ),
    ] = False,
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
    --resume goes on from, at this layout or another; after a kill it goes on from the last one.

    The report trains an epoch at 32K and one at 256K, with 32K data between: --interleave. It gives
    no share, learning rate or batch. What memory a long context takes is in qvl(7).

    A step that is not taken, because its loss jumped or is not finite, is status 3 with the ids of
    its worst records; the weights are those before it.

    \b
    Examples:
        $ qvl sft --model twin -o tuned --nproc 2 --batch 2 --lr 1e-3 --save-every 2 packed.jsonl.zst
        $ qvl sft --model twin -o halves --nproc 2 --layout tp=2 --batch 2 --steps 4 packed.jsonl.zst
        $ torchrun --nproc-per-node 2 --no-python qvl sft --model twin -o out packed.jsonl.zst
    """
    root = media.root(data)
    if context is not None:
        data = [_packed(data, context, model, Path(output), replace(media, media_root=str(root)))]
    settings = Settings(
        model=model,
        data=tuple(data),
        output=output,
        media_root=str(root),
        layout=layout,
        interleave=tuple(interleave or ()),
        interleave_share=interleave_share,
        epochs=epochs,
        steps=steps,
        batch=batch,
        lr=lr,
        min_lr_ratio=min_lr_ratio,
        warmup_steps=warmup_steps,
        schedule=schedule,
        decay_share=decay_share,
        weight_decay=weight_decay,
        beta2=beta2,
        clip=clip,
        freeze=tuple(freeze or ()),
        precision=precision,
        recompute=recompute,
        overlap=overlap,
        moe_aux_loss=moe_aux_loss,
        workers=workers,
        max_jump=max_jump,
        on_spike=on_spike,
        tensorboard=tensorboard,
        peak_teraflops=peak_teraflops,
        seed=seed,
        save_every=save_every,
        log_every=log_every,
        resume=resume,
        allow_remote=media.allow_remote,
        megatron=dict(_setting(word) for word in set_ or ()),
    )
    if "RANK" not in os.environ:
        check(settings, nproc)
        if finished(settings):
            print(f"qvl sft: {output} is finished", file=sys.stderr)
            return
        ended = launch.as_ranks(nproc)
        if ended is not None:
            raise typer.Exit(ended)
    with _stop_at_signal() as stop, launch.ranks_told_by_one():
        done = sft.run(settings, _say, lambda: stop.signal is not None)
    if done["stopped"]:
        if launch.is_first():
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


def _packed(data: list[str], context: str, model: str, output: Path, media: MediaOptions) -> str:
    """The records of `data`, packed; a file of an earlier run of the same is taken as it is."""
    from . import pack

    try:
        facts = [[name, Path(name).stat().st_size, Path(name).stat().st_mtime_ns] for name in data]
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}; ranks cannot share a pipe") from None
    key = blake2b(orjson.dumps([facts, context, model]), digest_size=6).hexdigest()
    path = output / f"packed-{context}-{key}.jsonl.zst"
    if not path.exists():
        if "RANK" in os.environ:
            raise UserError("--context: under torchrun, pack with qvl pack before")
        output.mkdir(parents=True, exist_ok=True)
        rejects = str(path.with_name(f"{path.name}.rejects"))
        stream = ResumableStreamOptions(files=data, output=str(path), rejects=rejects)
        pack.command(model=model, context=context, media=media, stream=stream)
    return str(path)


def _say(row: dict[str, Any]) -> None:
    facts = [
        f"step {row['step']} of {row['steps']}",
        f"loss {row['loss']:.4f}",
        f"grad norm {row['grad_norm']:.3f}",
        f"lr {row['lr']:.3g}",
        f"{row['tokens_per_second']:,.0f} tokens/s",
        f"{row['teraflops']:.3g} TFLOP/s",
    ]
    if "mfu" in row:
        facts.append(f"MFU {row['mfu']:.1%}")
    facts.append(f"{timedelta(seconds=round(row['eta_seconds']))} left")
    print(f"qvl sft: {', '.join(facts)}", file=sys.stderr, flush=True)


def _setting(word: str) -> tuple[str, Any]:
    name, equals, value = word.partition("=")
    if not (name and equals):
        raise UserError(f"--set {word}: expected FIELD=VALUE")
    try:
        return name, orjson.loads(value)
    except orjson.JSONDecodeError:
        return name, value
