"""Supervised fine-tuning: the job of `qvl sft`.

Every rank runs this. Files go in, a Hugging Face folder comes out, with log.jsonl beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qvl import threads
from qvl.errors import UserError
from qvl.imports import gc_frozen
from qvl.jobs.export import SKELETON
from qvl.media.loader import loader
from qvl.megatron import field_names
from qvl.model.layout import parse_layout
from qvl.model.shape import load_shape
from qvl.pack.packed_file import Once, PackedFile
from qvl.settings import (
    Checkpointing,
    DataSettings,
    Logging,
    ModelSettings,
    Optimization,
    check_batch,
    check_data,
    check_model,
    check_optimization,
    check_output,
    flat,
)
from qvl.train.log import Show, TrainingLog
from qvl.train.sampler import Sampler


@dataclass(frozen=True, kw_only=True)
class SftSettings:
    """The settings of a run, each part for its reader."""

    model: ModelSettings
    data: DataSettings
    optimization: Optimization
    checkpointing: Checkpointing
    logging: Logging

    @property
    def finished(self) -> bool:
        """Whether a run to be resumed has nothing left to do."""
        return self.checkpointing.finished

    def check(self, ranks: int) -> None:
        """UserError for what a user must correct before `ranks` processes are started."""
        check_model(self.model, ranks)
        check_data(self.data, parse_layout(self.model.layout), ranks)
        check_output(self.checkpointing, self.model.model)
        check_optimization(self.optimization)
        field_names.check(self.model.megatron, field_names.TRANSFORMER, "--set")
        optimizer = self.optimization.megatron_optimizer
        field_names.check(optimizer, field_names.OPTIMIZER, "--set-optimizer")


def run(
    settings: SftSettings,
    show: Show,
    stopping: Callable[[], bool],
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train. `show` gets a row every `log_every` steps, and `tell` what was chosen, on rank 0;
    `stopping` is consulted after each step.

    Returns how the run ended: `step`, `steps`, `stopped`, and the number of `packs`. A stopped run has
    left a checkpoint.
    """
    with gc_frozen():
        from qvl.megatron import parallel

    with parallel.started(parse_layout(settings.model.layout), seed=settings.data.seed):
        return _train(settings, show, stopping, tell)


def _train(
    settings: SftSettings,
    show: Show,
    stopping: Callable[[], bool],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    with gc_frozen():  # Megatron can be imported only now
        from qvl.megatron import image_sharing, parallel, weights
        from qvl.model import flops
        from qvl.train.build import load_model, make_trainer
        from qvl.train.dataloader import DataLoader
        from qvl.train.loop import TrainingLoop
        from qvl.train.validation import Validation

    output = Path(settings.checkpointing.output)
    output.mkdir(parents=True, exist_ok=True)
    width = load_shape(Path(settings.model.model)).hidden
    number = threads.choose(width, settings.model.threads)
    source, model = load_model(settings.model)
    packs, sampler, identity = _order(settings.data, output, model.shape.vocab, parallel.on_first)
    data_rank = parallel.data_rank()
    layout = parse_layout(settings.model.layout)
    check_batch(sampler.batch, layout, data_rank[1])
    steps = identity["steps"]
    trainer = make_trainer(model, settings.model, settings.optimization, steps)
    loop = TrainingLoop(
        trainer,
        settings.checkpointing,
        steps,
        identity=identity,
        stopping=stopping,
        tell=tell if parallel.rank() == 0 else lambda line: None,
    )
    log = None
    if parallel.rank() == 0:
        source.write_skeleton(output / "checkpoints" / SKELETON)
        peak = flops.peak_of_all(settings.logging.peak_teraflops, parallel.world())
        log = TrainingLog(output, settings.logging, show, steps=steps, peak=peak)
        tell(f"{threads.described(number)} per rank")
        if sampler.batch > sampler.count:
            tell(
                f"--batch {sampler.batch} is larger than the data, {sampler.count} packs: a step "
                "sees some of them several times"
            )
        idle = layout.idle(sampler.batch // data_rank[1])
        if idle:
            packs_each = sampler.batch // data_rank[1]
            tell(
                f"the pipeline idles {idle:.0%} of a step: {packs_each} packs per model pass "
                f"{layout.pipeline} x {layout.virtual} stages; more packs per --batch idle less"
            )
        facts = {"steps": steps, "ranks": parallel.world(), "packs": len(packs), "threads": number}
        facts |= {"pipeline_idle": round(idle, 4)} if idle else {}
        log.begin({**flat(settings), **facts}, loop.first, "sft")

    def cost(index: int) -> float:
        return flops.training(model.shape, packs.size(index), settings.optimization.freeze)

    media_root, allow_remote = Path(settings.data.media_root), settings.data.allow_remote
    images = loader(Path(settings.model.model), media_root, allow_remote=allow_remote)
    validation = None
    if settings.data.validation:
        held_out = PackedFile(settings.data.validation, output, parallel.on_first)
        validation = Validation(
            trainer,
            held_out,
            images if model.sees_images else None,
            cost=lambda index: flops.training(model.shape, held_out.size(index)),
            workers=settings.data.workers,
        )
    with DataLoader(
        packs,
        sampler,
        model.shape,
        images if model.sees_images else None,
        cost=cost,
        data_rank=data_rank,
        steps=range(loop.first + 1, steps + 1),
        share=image_sharing.share(),
        workers=settings.data.workers,
    ) as data:
        for number in loop:
            chosen = sampler.step(number)
            weight = sum(packs.weight(index) for index in chosen)
            tokens = sum(packs.size(index).tokens for index in chosen)
            if sampler.begins_part(number):
                loop.guard.forget()
            done = loop.step(
                data.batches(),
                data.count,
                loss_of(weight),
                log=log,
                tokens=tokens,
                blame="cross_entropy",
            )
            if done and log:
                work = sum(map(cost, chosen))
                log.step(number, done, tokens=tokens, flops=work, waited=data.waited)
            if validation and (number == steps or number % settings.data.validate_every == 0):
                found = validation.loss()
                if log:
                    log.evaluation(number, {"loss": round(found, 6)})
    if loop.finished:
        trainer.wait_for_parameters()
        weights.write(model, source, output)
        if parallel.rank() == 0:
            packs.remove()
    if log:
        log.close()
    parallel.barrier()
    stopped = not loop.finished
    return {"step": loop.number, "steps": steps, "stopped": stopped, "packs": identity["packs"]}


def _order(
    settings: DataSettings, folder: Path, vocabulary: int, once: Once
) -> tuple[PackedFile, Sampler, dict[str, Any]]:
    """The packs, their order, and what identifies it in a checkpoint, `steps` of the run included.

    UserError where a token is not in the vocabulary.
    """
    parts = [(name,) for name in settings.data] if settings.curriculum else [settings.data]
    packs = PackedFile(parts[0], folder, once)
    counts = [len(packs), *(packs.add(part) for part in parts[1:])]
    extra = packs.add(settings.interleave) if settings.interleave else 0
    if packs.largest_id >= vocabulary:
        raise UserError(
            f"{settings.data[0]}: token {packs.largest_id} is not in the model's vocabulary; pack "
            f"with the model's own tokenizer"
        )
    share = settings.interleave_share if extra else 0.0
    sampler = Sampler(
        counts, settings.batch, settings.seed, epochs=settings.epochs, extra=extra, share=share
    )
    identity = {"packs": sampler.count, "extra": extra, "share": share, "batch": settings.batch}
    if settings.curriculum:
        identity |= {"parts": counts, "epochs": settings.epochs}
    steps = settings.steps or sampler.num_steps
    return packs, sampler, {**identity, "seed": settings.seed, "steps": steps}


def loss_of(total: float) -> Any:
    """The loss of a step whose target tokens, over all ranks, weigh `total`: see training.Loss."""
    from qvl.losses.sft import sft

    def loss(batch: Any, output: Any) -> tuple[Any, dict[str, Any]]:
        weights = batch.columns["weight"]
        log_probs = output.log_probs(weights=weights)
        return sft(log_probs, weights, total), {"cross_entropy": -log_probs}

    return loss
