"""Megatron's data parallelism, distributed optimizer and schedule, around one model.

A micro-batch is a Batch: one pack, in our own order of axes; `qwen3vl` knows Megatron's.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from megatron.core import parallel_state
from megatron.core.distributed import (
    DistributedDataParallel,
    DistributedDataParallelConfig,
    finalize_model_grads,
)
from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler
from megatron.core.pipeline_parallel.schedules import get_forward_backward_func
from torch import Tensor

from qvl.losses.sft import sft
from qvl.megatron import cpu, decoder, parallel
from qvl.megatron.qwen3vl import Qwen3VL
from qvl.model.batch import Batch
from qvl.model.shape import Shape

PARTS = {  # name of a part that can be frozen -> the parameters it has
    "vision": lambda name: name.startswith("vision.") and "merger" not in name,
    "merger": lambda name: name.startswith("vision.") and "merger" in name,
    "language": lambda name: name.startswith("language_model."),
}


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """AdamW with a warm-up and a decay, in optimizer steps."""

    lr: float
    min_lr: float
    warmup_steps: int
    steps: int
    schedule: str
    """cosine, linear, constant or wsd."""
    weight_decay: float
    """Of parameters with two axes or more; norms and biases have none."""
    beta1: float
    beta2: float
    eps: float
    clip: float
    decay_steps: int = 1
    """The last ones, over which wsd goes from `lr` to `min_lr`."""


@dataclass
class Trainer:
    """What a training loop holds."""

    model: Qwen3VL
    parallel_model: DistributedDataParallel
    optimizer: Any
    scheduler: OptimizerParamScheduler


@dataclass
class Step:
    """What one optimizer step was. `loss` is that of the whole batch, on every rank."""

    loss: float
    grad_norm: float
    lr: float
    objection: str | None = None
    """Why the step was not taken: the weights are those of the step before."""
    parts: list[tuple[str, float, int]] = field(default_factory=list)
    """Where there is an objection, this rank's records: id, sum of cross-entropies, tokens."""


class Objection(Protocol):
    """What may stop a step, the same on every rank."""

    def __call__(self, loss: float, *, sound: bool) -> str | None: ...


def build_model(
    shape: Shape,
    layout: parallel.Layout,
    dtype: torch.dtype,
    overrides: dict[str, Any] | None = None,
) -> Qwen3VL:
    """The model without its weights. `overrides` are fields of Megatron's TransformerConfig."""
    config = decoder.transformer_config(shape, layout, dtype, overrides)
    with cpu.tensor_methods():
        return Qwen3VL(config, shape)


def prepare(model: Qwen3VL, wanted: Optimization, freeze: Sequence[str] = ()) -> Trainer:
    """Put a loaded model under data parallelism and give it an optimizer."""
    for name, parameter in model.named_parameters():
        if any(PARTS[part](name) for part in freeze):
            parameter.requires_grad_(False)
    config = model.config
    model.to(parallel.device())
    sharing = DistributedDataParallelConfig(
        use_distributed_optimizer=True, grad_reduce_in_fp32=True, overlap_grad_reduce=False
    )
    parallel_model = DistributedDataParallel(config, sharing, model)
    with cpu.tensor_methods():
        optimizer = get_megatron_optimizer(_optimizer_config(wanted, config), [parallel_model])
    _fuse(optimizer)
    scheduler = OptimizerParamScheduler(
        optimizer,
        init_lr=0.0,
        max_lr=wanted.lr,
        min_lr=wanted.min_lr,
        lr_warmup_steps=wanted.warmup_steps,
        lr_decay_steps=max(wanted.steps, wanted.warmup_steps + 1),
        lr_decay_style="WSD" if wanted.schedule == "wsd" else wanted.schedule,
        wsd_decay_steps=wanted.decay_steps,
        lr_wsd_decay_style="linear",
        start_wd=wanted.weight_decay,
        end_wd=wanted.weight_decay,
        wd_incr_steps=wanted.steps,
        wd_incr_style="constant",
    )
    config.finalize_model_grads_func = _reduce
    config.grad_scale_func = optimizer.scale_loss
    return Trainer(model, parallel_model, optimizer, scheduler)


def step(
    trainer: Trainer,
    batches: Iterable[Batch],
    count: int,
    total: float,
    objection: Objection | None = None,
) -> Step:
    """One optimizer step over this rank's `count` micro-batches.

    total: the sum of loss weights over the micro-batches of all ranks. objection: asked with the
    batch's loss, and whether all gradients are finite, before the weights change.
    """
    trainer.parallel_model.zero_grad_buffer()
    trainer.optimizer.zero_grad()
    parts = get_forward_backward_func()(
        forward_step_func=partial(_forward, total),
        data_iterator=iter(batches),
        model=trainer.parallel_model,
        num_microbatches=count,
        seq_length=1,  # packs differ in length, and stages announce theirs
        micro_batch_size=1,
        forward_only=False,
    )
    (loss,) = parallel.total([float(sum(part["loss"] for part in parts))])
    if objection is not None:
        sound = not parallel.anywhere(not _finite(trainer.parallel_model))
        reason = objection(loss, sound=sound)
        if reason is not None:
            found = [piece for part in parts for piece in _records(**part["pack"])]
            return Step(loss, 0.0, 0.0, reason, found)
    trainer.scheduler.step(1)  # before the step: the first one has a learning rate above 0
    lr = trainer.optimizer.param_groups[0]["lr"]
    with cpu.tensor_methods():
        _, grad_norm, _ = trainer.optimizer.step()
    return Step(loss, float(grad_norm or 0.0), lr)


def cross_entropies(model: Qwen3VL, batch: Batch) -> Tensor | None:
    """-log p of each token to learn (R,), on every rank of the last pipeline stage; None elsewhere."""
    found: list[dict[str, Any]] = get_forward_backward_func()(
        forward_step_func=partial(_forward, 1.0),
        data_iterator=iter([batch]),
        model=model,
        num_microbatches=1,
        seq_length=1,
        micro_batch_size=1,
        forward_only=True,
    )
    if not found:
        return None
    losses = found[0]["pack"]["losses"].clone()
    # Each context-parallel rank has those of its own tokens, and 0 elsewhere.
    torch.distributed.all_reduce(losses, group=parallel_state.get_context_parallel_group())
    return losses


def _finite(model: DistributedDataParallel) -> bool:
    """Whether this rank's gradients are. A sum is enough: what is not finite makes it so."""
    held: Any = model
    buffers = [*held.buffers, *held.expert_parallel_buffers]
    return all(bool(torch.isfinite(buffer.grad_data.sum())) for buffer in buffers)


def _records(
    names: Sequence[str], lengths: list[int], rows: Tensor, losses: Tensor
) -> list[tuple[str, float, int]]:
    """(id, sum of cross-entropies, tokens to learn) of each record of a pack. Tokens that another
    context-parallel rank has stand in `losses` as 0, and count there."""
    own = torch.searchsorted(torch.tensor(lengths).cumsum(0), rows.cpu(), right=True)
    losses = losses.double().cpu()
    sums = torch.zeros(len(lengths), dtype=torch.float64).index_add_(0, own, losses)
    counts = torch.bincount(own[losses != 0], minlength=len(lengths))
    return list(zip(names, sums.tolist(), counts.tolist(), strict=True))


def _forward(total: float, batches: Iterator[Batch], model: Any) -> tuple[Tensor, Any]:
    batch = next(batches).to(parallel.device())
    return model(batch), partial(_loss, batch, total)


def _loss(batch: Batch, total: float, output: Tensor) -> tuple[Tensor, Tensor, dict[str, Any]]:
    loss = sft(output, batch.weights, total)
    pack = {"names": batch.records, "lengths": batch.lengths, "rows": batch.rows}
    kept = {"loss": loss.detach(), "pack": {**pack, "losses": output.detach()}}
    return loss, torch.tensor(len(batch.labels), dtype=torch.int), kept


def _reduce(models: Any, num_tokens: Tensor | None = None, **rest: Any) -> None:
    """Add the ranks' gradients. `_loss` has divided already, by weights that need not be whole
    numbers as Megatron's count of tokens must."""
    finalize_model_grads(models, None, **rest)


def _optimizer_config(wanted: Optimization, config: Any) -> OptimizerConfig:
    return OptimizerConfig(
        optimizer="adam",
        lr=wanted.lr,
        min_lr=wanted.min_lr,
        weight_decay=wanted.weight_decay,
        adam_beta1=wanted.beta1,
        adam_beta2=wanted.beta2,
        adam_eps=wanted.eps,
        clip_grad=wanted.clip,
        bf16=config.bf16,
        params_dtype=config.params_dtype,
        use_distributed_optimizer=True,
    )


def _fuse(optimizer: Any) -> None:
    """torch's AdamW in one kernel for all parameters, where it is torch's."""
    for part in getattr(optimizer, "chained_optimizers", [optimizer]):
        if isinstance(part.optimizer, torch.optim.AdamW):
            for group in part.optimizer.param_groups:
                group["fused"] = True
