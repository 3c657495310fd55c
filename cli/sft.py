import os
import sys
from dataclasses import replace
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from qvl.errors import UserError
from qvl.jobs import sft
from qvl.settings import (
    ON_SPIKE,
    SCHEDULES,
    Checkpointing,
    DataSettings,
    Logging,
    ModelSettings,
    Optimization,
)
from qvl.train import launch

from .options import Layout, MediaOptions, ResumableStreamOptions, Seed
from .training import (
    Clip,
    Freeze,
    Nproc,
    Precision,
    Recompute,
    Resume,
    SaveEvery,
    StartModel,
    Tensorboard,
    Threads,
    TrainedModel,
    train,
)


def command(
    media: MediaOptions,
    data: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Output of qvl pack, or records with --context"),
    ],
    model: StartModel,
    output: TrainedModel,
    nproc: Nproc = 1,
    layout: Layout = ModelSettings.layout,
    context: Annotated[
        str | None,
        typer.Option(metavar="TOKENS", help="Pack the records of FILE to this length first: 32k"),
    ] = None,
    interleave: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Put packs of this file between the others; repeatable"),
    ] = None,
    interleave_share: Annotated[
        float,
        typer.Option(
            metavar="X", help="Share of the packs that come from --interleave (our choice)"
        ),
    ] = DataSettings.interleave_share,
    validation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Measure the loss of this packed file, too, without training on it; repeatable",
        ),
    ] = None,
    validate_every: Annotated[
        int, typer.Option(metavar="STEPS", min=1, help="Steps between measurements of --validation")
    ] = DataSettings.validate_every,
    curriculum: Annotated[
        bool,
        typer.Option(
            "--curriculum",
            help="Train on the FILEs one after the other, in this order, each shuffled by itself",
        ),
    ] = DataSettings.curriculum,
    epochs: Annotated[
        float, typer.Option(help="Passes over the data, or over each FILE of a curriculum")
    ] = DataSettings.epochs,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimizer steps, instead of epochs")
    ] = None,
    batch: Annotated[
        int, typer.Option(metavar="PACKS", min=1, help="Packs per step, over all ranks")
    ] = DataSettings.batch,
    lr: Annotated[float, typer.Option(help="Peak learning rate")] = Optimization.lr,
    min_lr_ratio: Annotated[
        float, typer.Option(help="Last learning rate, as a share of the peak")
    ] = Optimization.min_lr_ratio,
    warmup_steps: Annotated[
        int | None, typer.Option(help="Steps of linear warm-up; by default 3 % of all")
    ] = None,
    schedule: Annotated[
        str, typer.Option(metavar="|".join(SCHEDULES), help="How the learning rate falls")
    ] = Optimization.schedule,
    decay_share: Annotated[
        float, typer.Option(metavar="X", help="Share of the steps over which wsd decays")
    ] = Optimization.decay_share,
    weight_decay: Annotated[
        float, typer.Option(help="Weight decay of matrices")
    ] = Optimization.weight_decay,
    beta2: Annotated[float, typer.Option(help="AdamW's decay of the square")] = Optimization.beta2,
    clip: Clip = Optimization.clip,
    freeze: Freeze = None,
    precision: Precision = ModelSettings.precision,
    threads: Threads = None,
    recompute: Recompute = False,
    overlap: Annotated[
        bool,
        typer.Option(
            "--overlap/--no-overlap",
            help="Overlap the communication of gradients and parameters with computation; not yet run "
            "on GPUs",
        ),
    ] = ModelSettings.overlap,
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
        typer.Option(
            metavar="N", min=0, help="Processes per rank that preprocess images ahead of time"
        ),
    ] = None,
    max_jump: Annotated[
        float,
        typer.Option(
            metavar="NATS",
            min=0,
            help="Reject a step whose loss is this far above the median of the last 32; 0: accept any finite one",
        ),
    ] = Checkpointing.max_jump,
    on_spike: Annotated[
        str,
        typer.Option(
            metavar="|".join(ON_SPIKE),
            help="What to do at a rejected step, or one that is not finite",
        ),
    ] = Checkpointing.on_spike,
    seed: Seed = DataSettings.seed,
    save_every: SaveEvery = Checkpointing.save_every,
    log_every: Annotated[
        int, typer.Option(metavar="STEPS", min=1, help="Steps between rows of the log")
    ] = Logging.log_every,
    tensorboard: Tensorboard = False,
    peak_teraflops: Annotated[
        float | None,
        typer.Option(metavar="X", help="Peak of one device, for the MFU; known for the usual GPUs"),
    ] = None,
    resume: Resume = False,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="A field of Megatron's TransformerConfig; repeatable",
        ),
    ] = None,
    set_optimizer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=VALUE",
            help="A field of Megatron's OptimizerConfig, such as optimizer_cpu_offload=true, or "
            "use_precision_aware_optimizer=true and exp_avg_dtype=bf16; repeatable",
        ),
    ] = None,
) -> None:
    """Fine-tune a Qwen3-VL on packed records, with Megatron-core.

    Reads packed files (not a pipe: ranks cannot share one) and writes a Hugging Face folder, with
    log.jsonl, the settings (sft.json) and checkpoints/ in it. The loss is normalised by the loss
    weights of the whole batch. SIGTERM and Ctrl-C end the run after the step and write a checkpoint.
    --resume continues from the last checkpoint, also after a kill, at the same layout or another.

    The report trains an epoch at 32K and one at 256K, with 32K data interleaved: --interleave. It
    publishes no share, learning rate or batch. qvl(7) says how much memory a long context needs.

    FILEs are one set, shuffled as a whole. With --curriculum they are stages: every pack of a FILE
    comes before the first of the next, under one learning rate schedule. Repeat a FILE to give its
    stage more passes, and put into a later FILE what must not be forgotten. Further --steps repeat the
    last FILE. Where a FILE begins, the loss may jump.

    A step is rejected when its loss jumps or is not finite. The run then keeps the weights of the step
    before, names the worst records of the step, and ends with status 3.

    \b
    Examples:
        $ qvl sft --model twin -o tuned --nproc 2 --batch 2 --lr 1e-3 --save-every 2 packed.jsonl.zst
        $ qvl sft --model twin -o halves --nproc 2 --layout tp=2 --batch 2 --steps 4 packed.jsonl.zst
        $ qvl sft --model twin -o staged --curriculum --batch 2 --steps 4 packed.jsonl.zst packed.jsonl.zst
        $ torchrun --nproc-per-node 2 --no-python qvl sft --model twin -o out packed.jsonl.zst
    """
    root = media.root(data)
    if context is not None:
        stages = [[name] for name in data] if curriculum else [data]
        local = replace(media, media_root=str(root))
        data = [_packed(stage, context, model, Path(output), local) for stage in stages]
    settings = sft.SftSettings(
        model=ModelSettings(
            model=model,
            layout=layout,
            precision=precision,
            recompute=recompute,
            overlap=overlap,
            moe_aux_loss=moe_aux_loss,
            threads=threads,
            megatron=dict(_setting("--set", word) for word in set_ or ()),
        ),
        data=DataSettings(
            data=tuple(data),
            media_root=str(root),
            allow_remote=media.allow_remote,
            interleave=tuple(interleave or ()),
            interleave_share=interleave_share,
            curriculum=curriculum,
            validation=tuple(validation or ()),
            validate_every=validate_every,
            epochs=epochs,
            steps=steps,
            batch=batch,
            seed=seed,
            workers=workers,
        ),
        optimization=Optimization(
            lr=lr,
            min_lr_ratio=min_lr_ratio,
            warmup_steps=warmup_steps,
            schedule=schedule,
            decay_share=decay_share,
            weight_decay=weight_decay,
            beta2=beta2,
            clip=clip,
            freeze=tuple(freeze or ()),
            megatron_optimizer=dict(
                _setting("--set-optimizer", word) for word in set_optimizer or ()
            ),
        ),
        checkpointing=Checkpointing(
            output=output,
            save_every=save_every,
            resume=resume,
            max_jump=max_jump,
            on_spike=on_spike,
        ),
        logging=Logging(
            log_every=log_every, tensorboard=tensorboard, peak_teraflops=peak_teraflops
        ),
    )
    done = train("sft", settings, nproc, lambda stopping: sft.run(settings, _show, stopping, _tell))
    if done and launch.is_first():
        others = interleave_share if interleave else 0.0
        _say_end(output, done["steps"], batch, done["packs"], others)


def _say_end(output: str, steps: int, batch: int, packs: int, others: float) -> None:
    """others: the share of the packs of a step that --interleave gives."""
    epochs = steps * batch * (1 - others) / packs
    seen = f"{_number(packs, 'pack')}, each seen {epochs:.3g} times"
    if others:
        seen += f", and {_number(round(steps * batch * others), 'pack')} between them"
    print(f"qvl sft: {output}: the model after {_number(steps, 'step')}; {seen}", file=sys.stderr)


def _number(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _packed(data: list[str], context: str, model: str, output: Path, media: MediaOptions) -> str:
    """The records of `data`, packed; the file of an earlier run with the same arguments is reused."""
    from . import pack

    try:
        facts = [[name, Path(name).stat().st_size, Path(name).stat().st_mtime_ns] for name in data]
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}; ranks cannot share a pipe") from None
    key = blake2b(orjson.dumps([facts, context, model]), digest_size=6).hexdigest()
    path = output / f"packed-{context}-{key}.jsonl.zst"
    if not path.exists():
        if "RANK" in os.environ:
            raise UserError("--context: under torchrun, pack with qvl pack first")
        output.mkdir(parents=True, exist_ok=True)
        rejects = str(path.with_name(f"{path.name}.rejects"))
        stream = ResumableStreamOptions(files=data, output=str(path), rejects=rejects)
        pack.command(model=model, context=context, media=media, stream=stream)
    return str(path)


def _show(row: dict[str, Any]) -> None:
    if "evaluation" in row:
        loss = row["evaluation"]["loss"]
        _tell(f"step {row['step']} of {row['steps']}, validation loss {loss:.4f}")
        return
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


def _tell(line: str) -> None:
    print(f"qvl sft: {line}", file=sys.stderr, flush=True)


def _setting(flag: str, word: str) -> tuple[str, Any]:
    name, equals, value = word.partition("=")
    if not (name and equals):
        raise UserError(f"{flag} {word}: expected FIELD=VALUE")
    try:
        return name, orjson.loads(value)
    except orjson.JSONDecodeError:
        return name, value
