"""Megatron's data parallelism, distributed optimizer and schedule, around one model.

A micro-batch is a Batch: one pack, in our own order of axes; `qwen3vl` knows Megatron's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from megatron.core.distributed import (
    DistributedDataParallel,
    DistributedDataParallelConfig,
    finalize_model_grads,
)
from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler
from torch import Tensor

from qvl.errors import UserError
from qvl.megatron import cpu, decoder, parallel, schedule
from qvl.megatron import overrides as user_fields
from qvl.megatron.experts import aux_loss
from qvl.megatron.experts.load import ExpertLoad
from qvl.megatron.output import Output
from qvl.megatron.qwen3vl import LocalModel
from qvl.model.batch import Batch
from qvl.model.shape import Shape
from qvl.settings import Optimization

Loss = Callable[[Batch, Output], tuple[Tensor, Mapping[str, Tensor]]]
"""(this rank's target tokens with their columns, the model's output for them) -> (scalar, metrics).

The loss of a step is the sum of the scalars over micro-batches and ranks, so a loss divides by the
number or weight of the whole batch. Of the metrics, scalars are added up like it; tensors (R,) have a
value per target token, whose mean per record names the records of a step that is rejected.
"""
FUSED_ADAM = ("transformer_engine", "apex")
PARTS = {  # name of a part that can be frozen -> whether a parameter belongs to it
    "vision": lambda name: name.startswith("vision.") and "merger" not in name,
    "merger": lambda name: name.startswith("vision.") and "merger" in name,
    "language": lambda name: name.startswith("language_model."),
}


@dataclass
class Trainer:
    """A model with what trains it."""

    model: LocalModel
    chunks: list[DistributedDataParallel]
    """The model's stages, under data parallelism."""
    optimizer: Any
    scheduler: OptimizerParamScheduler
    moe_aux_loss: float
    """Coefficient of the experts' load-balancing loss."""
    expert_load: ExpertLoad | None
    """For a model with experts."""

    def wait_for_parameters(self) -> None:
        """Wait for the parameters that other ranks have updated; needed before they are read.

        Where messages overlap, those of a step arrive while the next one runs.
        """
        if self.overlaps:
            for chunk in self.chunks:
                chunk.start_param_sync(force_sync=True)

    @property
    def overlaps(self) -> bool:
        return self.chunks[0].ddp_config.overlap_param_gather


RecordSum = tuple[str, float, int]  # id, sum of a metric over its target tokens, number of them


@dataclass
class Step:
    """The result of one optimizer step, the same on every rank."""

    loss: float
    metrics: dict[str, float]
    """Scalars that the loss reports, added up over micro-batches and ranks."""
    grad_norm: float = 0.0
    lr: float = 0.0
    moe_aux_loss: float | None = None
    """The experts' load-balancing loss (arXiv 2101.03961, equation 4; 1 where all are as busy)."""
    expert_imbalance: float | None = None
    """See experts.load, for a model with experts."""
    rejected: str | None = None
    """Why the weights were not updated."""
    records: dict[str, list[RecordSum]] = field(default_factory=dict)
    """If rejected: by metric, the records of this rank, or its part of them."""


class Guard(Protocol):
    """Decides whether a step may update the weights, the same on every rank."""

    def check(self, metrics: Mapping[str, float], *, finite_gradients: bool) -> str | None:
        """Why it may not; None where it may. The metrics have the loss as `loss`."""


def build_model(
    shape: Shape,
    layout: parallel.Layout,
    dtype: torch.dtype,
    overrides: dict[str, Any] | None = None,
    moe_aux_loss: float = 0.0,
) -> LocalModel:
    """The model without its weights. `overrides` are fields of Megatron's TransformerConfig.

    moe_aux_loss: coefficient of the experts' load-balancing loss, where there are experts.
    """
    config = decoder.transformer_config(shape, layout, dtype, overrides, moe_aux_loss)
    with cpu.tensor_methods():
        return LocalModel(config, shape)


def prepare(
    model: LocalModel,
    settings: Optimization,
    steps: int,
    *,
    overlap: bool = False,
    bucket: int | None = None,
) -> Trainer:
    """Put a loaded model under data parallelism and give it an optimizer for a run of `steps`.

    overlap: send gradients and parameters to the other ranks while a step is computed. bucket: the
    number of parameters that are sent together then; None: Megatron's choice, 40 million or more.
    """
    config = model.config
    model.to(parallel.device())
    sharing = DistributedDataParallelConfig(
        use_distributed_optimizer=True,
        grad_reduce_in_fp32=True,
        overlap_grad_reduce=overlap,
        overlap_param_gather=overlap,
        align_param_gather=overlap,  # `step` starts them all, in the same order on every rank
        bucket_size=bucket,
    )
    chunks = []
    for chunk in model.chunks:
        for name, parameter in chunk.named_parameters():
            if any(PARTS[part](name) for part in settings.freeze):
                parameter.requires_grad_(False)
        chunk.reports_every_gradient = overlap
        chunks.append(DistributedDataParallel(config, sharing, chunk))
    if overlap:
        not_yet: Any = [chunk.no_sync for chunk in chunks]
        config.no_sync_func = not_yet if len(chunks) > 1 else not_yet[0]
    with cpu.tensor_methods():
        optimizer = get_megatron_optimizer(_optimizer_config(settings, config), chunks)
    _fuse(optimizer)
    warmup = settings.warmup(steps)
    scheduler = OptimizerParamScheduler(
        optimizer,
        init_lr=0.0,
        max_lr=settings.lr,
        min_lr=settings.min_lr,
        lr_warmup_steps=warmup,
        lr_decay_steps=max(steps, warmup + 1),
        lr_decay_style="WSD" if settings.schedule == "wsd" else settings.schedule,
        wsd_decay_steps=max(1, round(settings.decay_share * steps)),
        lr_wsd_decay_style="linear",
        start_wd=settings.weight_decay,
        end_wd=settings.weight_decay,
        wd_incr_steps=steps,
        wd_incr_style="constant",
    )
    config.finalize_model_grads_func = _reduce
    config.grad_scale_func = optimizer.scale_loss
    coefficient: Any = config.moe_aux_loss_coeff
    load = ExpertLoad(model) if model.shape.num_experts else None
    return Trainer(model, chunks, optimizer, scheduler, coefficient, load)


def step(
    trainer: Trainer,
    batches: Iterable[Batch],
    count: int,
    loss: Loss,
    guard: Guard | None = None,
    *,
    tokens: int = 0,
) -> Step:
    """One optimizer step over this rank's `count` micro-batches.

    guard: consulted once the gradients are there, before the weights change. tokens: of all ranks'
    micro-batches, targets or not; needed where experts have a load-balancing loss.
    """
    for chunk in trainer.chunks:
        chunk.zero_grad_buffer()
        if trainer.overlaps:
            chunk.start_param_sync()
    trainer.optimizer.zero_grad()
    if trainer.moe_aux_loss:
        aux_loss.weigh(trainer.model, trainer.moe_aux_loss, tokens)
    measured = schedule.run(
        trainer.chunks, batches, count, lambda output: _measure(loss, output), backward=True
    )
    if trainer.overlaps:
        _wait_for_unused(trainer.chunks)
    totals = _totals(measured)
    done = Step(totals["loss"], totals)
    if trainer.moe_aux_loss:
        done.moe_aux_loss = aux_loss.mean(trainer.model, count)
    if trainer.expert_load:
        done.expert_imbalance = trainer.expert_load.imbalance()
    if guard is not None:
        finite = not parallel.anywhere(not all(map(_finite, trainer.chunks)))
        done.rejected = guard.check(totals, finite_gradients=finite)
        if done.rejected is not None:
            done.records = _records(measured)
            return done
    trainer.scheduler.step(1)  # before the step: the first one has a learning rate above 0
    done.lr = trainer.optimizer.param_groups[0]["lr"]
    with cpu.tensor_methods():
        _, grad_norm, _ = trainer.optimizer.step()
    done.grad_norm = float(grad_norm or 0.0)
    return done


@dataclass
class _Measured:
    """What is kept of a micro-batch."""

    totals: dict[str, Tensor]
    """Scalars, the loss among them."""
    per_target: dict[str, Tensor]
    sequences: Tensor
    names: Sequence[str]
    """Of its records."""


def _measure(loss: Loss, output: Output) -> tuple[Tensor, _Measured]:
    batch = output.batch
    value, metrics = loss(batch, output)
    detached = {name: metric.detach() for name, metric in metrics.items()}
    totals = {name: metric for name, metric in detached.items() if metric.ndim == 0}
    per_target = {name: metric for name, metric in detached.items() if metric.ndim == 1}
    kept = _Measured({"loss": value.detach(), **totals}, per_target, batch.sequences, batch.records)
    return value, kept


def _totals(measured: Sequence[_Measured]) -> dict[str, float]:
    """The sum of each scalar over the micro-batches of all ranks."""
    names = parallel.from_last_stage(list(measured[0].totals) if measured else None)
    sums = [float(sum(each.totals[name] for each in measured)) for name in names]
    return dict(zip(names, parallel.total(sums), strict=True))


def _records(measured: Sequence[_Measured]) -> dict[str, list[RecordSum]]:
    """By metric per target token, its sum over each record of this rank."""
    found: dict[str, list[RecordSum]] = {}
    for each in measured:
        size = len(each.names)
        sequences = each.sequences.cpu()
        counts = torch.bincount(sequences, minlength=size).tolist()
        for name, values in each.per_target.items():
            sums = torch.zeros(size, dtype=torch.float64)
            sums.index_add_(0, sequences, values.double().cpu())
            found.setdefault(name, []).extend(zip(each.names, sums.tolist(), counts, strict=True))
    return found


def _wait_for_unused(chunks: Sequence[Any]) -> None:
    """Wait for parameters that no module has waited for: those of the tower, without images.

    Only for these: the end of the backward pass has marked all parameters as not sent, and a group
    that is waited for then would send its own once more.
    """
    for chunk in chunks:
        for group in [*chunk.bucket_groups, *chunk.expert_parallel_bucket_groups]:
            if group.param_gather_handle is not None:
                group.param_gather_dispatched = True
                group.finish_param_sync(skip_next_bucket_dispatch=True)


def _finite(model: DistributedDataParallel) -> bool:
    """Whether this rank's gradients are finite. So is their sum, or none of it is."""
    held: Any = model
    buffers = [*held.buffers, *held.expert_parallel_buffers]
    return all(bool(torch.isfinite(buffer.grad_data.sum())) for buffer in buffers)


def _reduce(models: Any, num_tokens: Tensor | None = None, **rest: Any) -> None:
    """Add the ranks' gradients. The loss has divided already, by weights that need not be whole
    numbers as Megatron's count of tokens must."""
    finalize_model_grads(models, None, **rest)


def _optimizer_config(settings: Optimization, config: Any) -> OptimizerConfig:
    """UserError for a field that Megatron lacks or rejects."""
    fields: dict[str, Any] = {
        "optimizer": "adam",
        "lr": settings.lr,
        "min_lr": settings.min_lr,
        "weight_decay": settings.weight_decay,
        "adam_beta1": settings.beta1,
        "adam_beta2": settings.beta2,
        "adam_eps": settings.eps,
        "clip_grad": settings.clip,
        "bf16": config.bf16,
        "params_dtype": config.params_dtype,
        "use_distributed_optimizer": True,
    }
    found = user_fields.checked(settings.megatron_optimizer, OptimizerConfig, "--set-optimizer")
    if found.get("optimizer_cpu_offload") and not any(map(find_spec, FUSED_ADAM)):
        raise UserError(
            "--set-optimizer optimizer_cpu_offload: needs the AdamW of Transformer Engine or apex; "
            "install transformer-engine"
        )
    with user_fields.rejections(found, "--set-optimizer"):
        return OptimizerConfig(**{**fields, **found})


def _fuse(optimizer: Any) -> None:
    """torch's AdamW in one kernel for all parameters, where it is torch's."""
    for part in getattr(optimizer, "chained_optimizers", [optimizer]):
        if isinstance(part.optimizer, torch.optim.AdamW):
            for group in part.optimizer.param_groups:
                group["fused"] = True
