"""Megatron's data parallelism, distributed optimizer and schedule, around one model.

A micro-batch is a Batch: one pack, in our own order of axes; `qwen3vl` knows Megatron's.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import tee
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
from megatron.core.transformer.moe.moe_utils import (
    clear_aux_losses_tracker,
    get_moe_layer_wise_logging_tracker,
)
from torch import Tensor

from qvl.losses.sft import sft
from qvl.megatron import cpu, decoder, parallel, workarounds
from qvl.megatron.qwen3vl import LocalModel
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

    model: LocalModel
    chunks: list[DistributedDataParallel]
    """Those of the model, under data parallelism."""
    optimizer: Any
    scheduler: OptimizerParamScheduler
    balance: float
    """Coefficient of the experts' load-balancing loss."""

    def settle(self) -> None:
        """Wait for the parameters that other ranks have computed; asked before they are read.

        Where messages overlap, those of a step come while the next one runs.
        """
        if self.overlaps:
            for chunk in self.chunks:
                chunk.start_param_sync(force_sync=True)

    @property
    def overlaps(self) -> bool:
        return self.chunks[0].ddp_config.overlap_param_gather


@dataclass
class Step:
    """What one optimizer step was. `loss` is that of the whole batch, on every rank."""

    loss: float
    grad_norm: float
    lr: float
    balance: float | None = None
    """The experts' load-balancing loss (arXiv 2101.03961, equation 4; 1 where all are as busy)."""
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
    balance: float = 0.0,
) -> LocalModel:
    """The model without its weights. `overrides` are fields of Megatron's TransformerConfig.

    balance: coefficient of the experts' load-balancing loss, where there are experts.
    """
    config = decoder.transformer_config(shape, layout, dtype, overrides, balance)
    with cpu.tensor_methods():
        return LocalModel(config, shape)


def prepare(
    model: LocalModel, wanted: Optimization, freeze: Sequence[str] = (), *, overlap: bool = False
) -> Trainer:
    """Put a loaded model under data parallelism and give it an optimizer.

    overlap: send gradients and parameters to the other ranks while a step is computed.
    """
    config = model.config
    model.to(parallel.device())
    sharing = DistributedDataParallelConfig(
        use_distributed_optimizer=True,
        grad_reduce_in_fp32=True,
        overlap_grad_reduce=overlap,
        overlap_param_gather=overlap,
        align_param_gather=overlap,  # `step` starts them all, in the same order on every rank
    )
    chunks = []
    for chunk in model.chunks:
        for name, parameter in chunk.named_parameters():
            if any(PARTS[part](name) for part in freeze):
                parameter.requires_grad_(False)
        chunk.reports_every_gradient = overlap
        chunks.append(DistributedDataParallel(config, sharing, chunk))
    if overlap:
        not_yet: Any = [chunk.no_sync for chunk in chunks]
        config.no_sync_func = not_yet if len(chunks) > 1 else not_yet[0]
    with cpu.tensor_methods():
        optimizer = get_megatron_optimizer(_optimizer_config(wanted, config), chunks)
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
    balance: Any = config.moe_aux_loss_coeff
    return Trainer(model, chunks, optimizer, scheduler, balance)


def step(
    trainer: Trainer,
    batches: Iterable[Batch],
    count: int,
    total: float,
    objection: Objection | None = None,
    *,
    tokens: int = 0,
) -> Step:
    """One optimizer step over this rank's `count` micro-batches.

    total: the sum of loss weights over the micro-batches of all ranks. objection: asked with the
    batch's loss, and whether all gradients are finite, before the weights change. tokens: of all
    ranks' micro-batches, learnt or not; needed where experts are to be balanced.
    """
    for chunk in trainer.chunks:
        chunk.zero_grad_buffer()
        if trainer.overlaps:
            chunk.start_param_sync()
    trainer.optimizer.zero_grad()
    if trainer.balance:
        _weigh_balance(trainer, tokens)
    parts = _run(trainer.chunks, batches, count, partial(_forward, total), backward=True)
    if trainer.overlaps:
        _arrived(trainer.chunks)
    (loss,) = parallel.total([float(sum(part["loss"] for part in parts))])
    balance = _balance(trainer.model, count) if trainer.balance else None
    if objection is not None:
        sound = not parallel.anywhere(not all(map(_finite, trainer.chunks)))
        reason = objection(loss, sound=sound)
        if reason is not None:
            found = [piece for part in parts for piece in _records(**part["pack"])]
            return Step(loss, 0.0, 0.0, balance, reason, found)
    trainer.scheduler.step(1)  # before the step: the first one has a learning rate above 0
    lr = trainer.optimizer.param_groups[0]["lr"]
    with cpu.tensor_methods():
        _, grad_norm, _ = trainer.optimizer.step()
    return Step(loss, float(grad_norm or 0.0), lr, balance)


def cross_entropies(model: LocalModel, batch: Batch) -> Tensor | None:
    """-log p of each token to learn (R,), on every rank of the last pipeline stage; None elsewhere."""
    # Interleaved stages want as many micro-batches as there are pipeline ranks.
    count = 1 if len(model.chunks) == 1 else model.config.pipeline_model_parallel_size
    found = _run(model.chunks, [batch] * count, count, partial(_forward, 1.0), backward=False)
    if not found:
        return None
    losses = found[0]["pack"]["losses"].clone()
    # Each context-parallel rank has those of its own tokens, and 0 elsewhere.
    torch.distributed.all_reduce(losses, group=parallel_state.get_context_parallel_group())
    return losses


def _run(
    chunks: Sequence[Any],
    batches: Iterable[Batch],
    count: int,
    forward: Any,
    *,
    backward: bool,
) -> list[dict[str, Any]]:
    """Megatron's schedule over `count` micro-batches; what `_loss` kept of each, in the last stage."""
    return get_forward_backward_func()(
        forward_step_func=forward,
        data_iterator=list(tee(batches, len(chunks))),  # each chunk sees every batch
        model=list(chunks),
        num_microbatches=count,
        seq_length=1,  # packs differ in length, and stages announce theirs
        micro_batch_size=1,
        forward_only=not backward,
    )


def _arrived(chunks: Sequence[Any]) -> None:
    """Wait for parameters that no module has waited for: those of the tower, without images."""
    for chunk in chunks:
        for group in [*chunk.bucket_groups, *chunk.expert_parallel_bucket_groups]:
            group.finish_param_sync(skip_next_bucket_dispatch=True)


def _weigh_balance(trainer: Trainer, tokens: int) -> None:
    """Make the experts' load-balancing loss of a batch the mean over its tokens of that of their
    pack. Megatron multiplies each rank's by its tokens, to divide by those that are learnt, all of
    which `_loss` has done already."""
    config = trainer.model.config
    sharers = 1
    if not workarounds.balance_counts_sharers():
        sharers = config.context_parallel_size
        if config.sequence_parallel:
            sharers *= config.tensor_model_parallel_size
    config.moe_aux_loss_coeff = trainer.balance * sharers / tokens


def _balance(model: LocalModel, count: int) -> float:
    """The experts' load-balancing loss, a mean over layers and packs. Megatron has noted each
    rank's part of the sum."""
    noted = get_moe_layer_wise_logging_tracker().values()
    sum_over_ranks = parallel.world_sum(float(sum(each["values"].sum() for each in noted)))
    clear_aux_losses_tracker()
    return sum_over_ranks / (model.config.num_layers * count * parallel.data_rank()[1])


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
