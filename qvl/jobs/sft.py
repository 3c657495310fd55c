"""Supervised fine-tuning: the loop of `qvl sft`.

Every rank runs this. Files go in, a Hugging Face folder comes out; log.jsonl beside it says how.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qvl.errors import CheckFailed, UserError
from qvl.imports import gc_frozen
from qvl.jobs.export import SKELETON
from qvl.media.loader import Loader, loader
from qvl.model.layout import Layout, parse_layout
from qvl.pack.packed import PackedFile
from qvl.train.log import Log, Metrics
from qvl.train.loss_guard import NAMED, LossGuard, worst
from qvl.train.sampler import Order
from qvl.train.settings import Settings, check_batch

RECOMPUTE = {
    "recompute_granularity": "full",
    "recompute_method": "uniform",
    "recompute_num_layers": 1,
}


def run(settings: Settings, log: Log, stopping: Callable[[], bool]) -> dict[str, Any]:
    """Train. `log` gets a row each `log_every` steps, on rank 0; `stopping` is asked each step.

    Returns what the run was: `step`, `steps`, `stopped`. A stopped run has left a checkpoint.
    """
    with gc_frozen():
        from qvl.megatron import parallel

    layout = parse_layout(settings.layout)
    parallel.start(layout, seed=settings.seed)
    try:
        return _train(settings, layout, log, stopping)
    finally:
        parallel.finish()


@dataclass
class _Job:
    """What a run holds from its first step to its last."""

    settings: Settings
    source: Any
    """The Hugging Face folder it began from."""
    trainer: Any
    packs: PackedFile
    feed: Any
    guard: LossGuard
    metrics: Metrics | None
    """On rank 0."""
    cost: Callable[[int], float]
    """Operations of a pack."""
    identity: dict[str, Any]
    """What a checkpoint must be of, to go on from it."""
    first: int
    """Steps that were done before."""
    steps: int
    saving: Any = None
    """The checkpoint that is being written."""

    def save(self, number: int) -> None:
        """Begin to write the checkpoint of step `number`."""
        from qvl.megatron import checkpoint

        self.settle()
        state = {"step": number, "losses": self.guard.state(), **self.identity}
        folder = Path(self.settings.output) / "checkpoints"
        self.saving = checkpoint.begin(self.trainer, folder, state, keep=self.settings.keep)

    def settle(self) -> None:
        """Wait until no checkpoint is being written."""
        if self.saving:
            self.saving.finish()
        self.saving = None


def _train(
    settings: Settings, layout: Layout, log: Log, stopping: Callable[[], bool]
) -> dict[str, Any]:
    from qvl.megatron import parallel, weights

    job = _prepared(settings, layout, log)
    number, stopped = job.first, False
    with job.feed:
        for number in range(job.first + 1, job.steps + 1):
            _take(job, number)
            stopped = parallel.anywhere(stopping())
            due = settings.save_every and number % settings.save_every == 0
            if job.saving and job.saving.written():
                job.settle()
            if (stopped or due) and number < job.steps:
                job.save(number)
            if stopped:
                break
    job.settle()
    job.packs.close()
    finished = number == job.steps
    if finished:
        job.trainer.wait_for_parameters()
        weights.write(job.trainer.model, job.source, Path(settings.output))
    if job.metrics:
        job.metrics.close()
    parallel.barrier()
    return {"step": number, "steps": job.steps, "stopped": not finished}


def _prepared(settings: Settings, layout: Layout, log: Log) -> _Job:
    """Everything but the steps: data, model, optimizer, and where an interrupted run had got to."""
    with gc_frozen():
        from qvl.megatron import parallel, training, weights
    from qvl.model.folder import Folder
    from qvl.model.shape import load_shape
    from qvl.plan import flops
    from qvl.train.dataloader import Feed

    output = Path(settings.output)
    output.mkdir(parents=True, exist_ok=True)
    source, shape = Folder(Path(settings.model)), load_shape(Path(settings.model))
    layout.check(shape, parallel.world())
    packs = PackedFile(settings.data, output)
    count = len(packs)
    extra = packs.add(settings.interleave) if settings.interleave else 0
    if packs.largest_id >= shape.vocab:
        raise UserError(
            f"{settings.data[0]}: token {packs.largest_id} is not in the model's vocabulary"
        )
    share = settings.interleave_share if extra else 0.0
    order = Order(count, settings.batch, settings.seed, extra=extra, share=share)
    steps = settings.steps or order.num_steps(settings.epochs)
    rank, ranks = parallel.data_rank()
    check_batch(settings.batch, layout, ranks)
    identity: dict[str, Any] = {"packs": count, "extra": extra, "share": share}
    identity |= {"batch": settings.batch, "seed": settings.seed, "steps": steps}

    overrides = {**(RECOMPUTE if settings.recompute else {}), **settings.megatron}
    aux = shape.moe_aux_loss if settings.moe_aux_loss is None else settings.moe_aux_loss
    model = training.build_model(shape, layout, _dtype(settings, source), overrides, aux)
    weights.load(model, source)
    trainer = training.prepare(
        model, _optimization(settings, steps), settings.freeze, overlap=_overlaps(settings)
    )
    guard, first = LossGuard(settings.max_jump), 0
    if settings.resume:
        state = _resume(trainer, output / "checkpoints", identity)
        first = state.get("step", 0)
        guard.restore(state.get("losses", []))

    def cost(index: int) -> float:
        return flops.training(shape, packs.size(index), settings.freeze)

    metrics = None
    if parallel.rank() == 0:
        source.write_skeleton(output / "checkpoints" / SKELETON)
        metrics = Metrics(
            output, log, tensorboard=settings.tensorboard, peak_teraflops=_peak(settings)
        )
        facts = {"steps": steps, "ranks": parallel.world(), "packs": count + extra}
        metrics.begin({**asdict(settings), **facts}, first)
    feed = Feed(
        packs,
        order,
        shape,
        _images(settings) if model.sees_images else None,
        cost=cost,
        place=(rank, ranks),
        steps=(first + 1, steps),
        workers=_workers(settings),
    )
    return _Job(
        settings=settings,
        source=source,
        trainer=trainer,
        packs=packs,
        feed=feed,
        guard=guard,
        metrics=metrics,
        cost=cost,
        identity=identity,
        first=first,
        steps=steps,
    )


def _take(job: _Job, number: int) -> None:
    """Take step `number`, or leave it out. CheckFailed where it must stop the run."""
    from qvl.megatron import parallel, training

    chosen = job.feed.step(number)
    total = sum(job.packs.loss_weight[index] for index in chosen)
    tokens = sum(job.packs.size(index).tokens for index in chosen)
    done = training.step(
        job.trainer,
        job.feed.batches(),
        job.feed.count,
        loss_of(total),
        job.guard,
        tokens=tokens,
    )
    if done.rejected:
        parts = parallel.gather(done.records.get("cross_entropy", []))
        suspects = worst(part for each in parts for part in each)
        if job.metrics:
            job.metrics.rejected(number, done.rejected, suspects[:NAMED])
        if job.settings.on_spike == "stop":
            if number - 1 > job.first:  # else it is there, or nothing was done
                job.save(number - 1)
            job.settle()
            raise CheckFailed(_rejection(number, done.rejected, suspects))
        job.trainer.scheduler.step(1)
    elif job.metrics:
        facts = {"loss": round(done.loss, 6), "grad_norm": round(done.grad_norm, 4), "lr": done.lr}
        if done.moe_aux_loss is not None:
            facts["moe_aux_loss"] = round(done.moe_aux_loss, 4)
        job.metrics.step(
            number,
            facts,
            tokens=tokens,
            flops=sum(map(job.cost, chosen)),
            waited=job.feed.waited,
            of=job.steps,
            show=number in (job.first + 1, job.steps) or number % job.settings.log_every == 0,
        )


def loss_of(total: float) -> Any:
    """The loss of a step whose target tokens, over all ranks, weigh `total`: see training.Loss."""
    from qvl.losses.sft import sft

    def loss(batch: Any, output: Any) -> tuple[Any, dict[str, Any]]:
        weights = batch.columns["weight"]
        log_probs = output.log_probs(weights=weights)
        return sft(log_probs, weights, total), {"cross_entropy": -log_probs}

    return loss


def _rejection(number: int, reason: str, suspects: list[Any]) -> str:
    names = ", ".join(map(str, suspects[:NAMED]))
    return (
        f"step {number} was not taken: {reason}; the worst of its records (loss): {names}. What "
        f"was done before is kept; --resume --on-spike skip leaves such steps out"
    )


def _resume(trainer: Any, folder: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Restore the last checkpoint; return its state, {} where there is none.

    UserError where it is of another run. It may be of another layout.
    """
    from qvl.megatron import checkpoint

    whole = checkpoint.saved(folder)
    if not whole:
        return {}
    path = whole[-1]
    state = checkpoint.load(trainer, path)
    for name, value in identity.items():
        if state.get(name) != value:
            raise UserError(
                f"--resume: {path} is of a run with {name} {state.get(name)}, not {value}"
            )
    return state


def _dtype(settings: Settings, source: Any) -> Any:
    import torch

    if settings.precision == "auto":
        return source.dtype(next(name for name in source.names if name.endswith("norm.weight")))
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[settings.precision]


def _optimization(settings: Settings, steps: int) -> Any:
    from qvl.megatron.training import Optimization

    warmup = settings.warmup_steps
    return Optimization(
        lr=settings.lr,
        min_lr=settings.lr * settings.min_lr_ratio,
        warmup_steps=round(0.03 * steps) if warmup is None else min(warmup, steps - 1),
        steps=steps,
        schedule=settings.schedule,
        decay_steps=max(1, round(settings.decay_share * steps)),
        weight_decay=settings.weight_decay,
        beta1=settings.beta1,
        beta2=settings.beta2,
        eps=settings.eps,
        clip=settings.clip,
    )


def _images(settings: Settings) -> Loader:
    return loader(
        Path(settings.model), Path(settings.media_root), allow_remote=settings.allow_remote
    )


def _workers(settings: Settings) -> int:
    if settings.workers is not None:
        return settings.workers
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(4, (os.cpu_count() or 1) // here // 2)


def _overlaps(settings: Settings) -> bool:
    import torch

    return torch.cuda.is_available() if settings.overlap is None else settings.overlap


def _peak(settings: Settings) -> float | None:
    """TFLOP/s of all ranks' devices together; None where it is not known."""
    import torch

    from qvl.megatron import parallel
    from qvl.plan import flops

    one = settings.peak_teraflops
    if one is None and torch.cuda.is_available():
        one = flops.peak_teraflops(torch.cuda.get_device_name())
    return one * parallel.world() if one else None
