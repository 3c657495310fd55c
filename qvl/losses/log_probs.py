"""Cross-entropy from hidden states, the logits never held whole.

Shapes: R tokens, D hidden, V vocabulary of this rank. At R = 32,768 and V = 151,936 the logits alone
are 19.9 GB in fp32, and their softmax and gradient as much again; here those of a few rows exist at
once. Who says beforehand how the losses will be weighed has the gradient computed with them, for no
more matrix products than the plain way; else the logits are computed once more on the way back.
"""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

# Of fp32 logits at once: our choice, by measurement. A GPU needs more rows, or it would spend its
# time on adding to the gradient of the weight: 1,767 at V = 151,936, where a CPU takes 110.
CHUNK_BYTES = {"cpu": 1 << 26, "cuda": 1 << 30}


def cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    group: dist.ProcessGroup | None = None,
    chunk_bytes: int | None = None,
) -> Tensor:
    """-log softmax(hidden @ weight.T)[labels]: (R,) in fp32, not weighed.

    hidden: (R, D). weight: (V, D), with a `group` this rank's rows of the vocabulary, rank after
    rank. labels: (R,) in the whole vocabulary. weights: (R,), where the losses will be multiplied by
    them and summed; the gradient is right whatever is done, but only that is fast. Under a group,
    hidden, labels and the answer are the same on every rank, and so is the gradient of hidden.
    """
    size = chunk_bytes or CHUNK_BYTES[hidden.device.type]
    rows = max(1, size // (4 * len(weight)))
    losses: Any = _CrossEntropy.apply(hidden, weight, labels, weights, group, rows)
    return losses


class _Gradient(NamedTuple):
    hidden: Tensor
    weight: Tensor
    """in fp32, because bf16 would round each chunk's share to that of all before it"""


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        weights: Tensor | None,
        group: dist.ProcessGroup | None,
        rows: int,
    ) -> Tensor:
        own, there = _own_labels(labels, len(weight), group)
        sums, chosen = hidden.new_empty((2, len(labels)), dtype=torch.float32)
        ctx.ready = None
        if weights is not None and any(ctx.needs_input_grad[:2]):
            ctx.ready = _Gradient(torch.empty_like(hidden), _zeros(weight))
        for start in range(0, len(labels), rows):
            part = slice(start, start + rows)
            logits = F.linear(hidden[part], weight).float()
            chosen[part] = logits.gather(1, own[part, None])[:, 0] * there[part]
            sums[part] = _log_sum(torch.logsumexp(logits, 1), group)
            if ctx.ready is not None and weights is not None:
                slope = _slope(logits, sums[part], own[part], there[part], weights[part])
                _add_chunk(ctx.ready, part, slope, hidden, weight)
                del slope
            del logits  # before the next chunk's exist
        if group is not None:
            dist.all_reduce(chosen, group=group)
        ctx.save_for_backward(hidden, weight, own, there, sums, weights)
        ctx.group, ctx.rows = group, rows
        return sums - chosen

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, own, there, sums, weights = ctx.saved_tensors
        (grad,) = grads
        ready, ctx.ready = ctx.ready, None
        scale = _common_scale(grad, weights) if ready is not None else None
        if ready is not None and scale is not None:
            found = ready
            found.hidden.mul_(scale.to(hidden.dtype))
            found.weight.mul_(scale)
        else:
            found = _Gradient(torch.empty_like(hidden), _zeros(weight))
            for start in range(0, len(own), ctx.rows):
                part = slice(start, start + ctx.rows)
                logits = F.linear(hidden[part], weight).float()
                slope = _slope(logits, sums[part], own[part], there[part], grad[part])
                _add_chunk(found, part, slope, hidden, weight)
                del logits, slope
        if ctx.group is not None:
            dist.all_reduce(found.hidden, group=ctx.group)
        return found.hidden, found.weight.to(weight.dtype), None, None, None, None


def _own_labels(
    labels: Tensor, size: int, group: dist.ProcessGroup | None
) -> tuple[Tensor, Tensor]:
    """The labels in this rank's part of the vocabulary, and 1 where they lie in it, else 0."""
    first = size * dist.get_rank(group) if group is not None else 0
    own = labels - first
    there = (own >= 0) & (own < size)
    return own.clamp(0, size - 1), there.float()


def _log_sum(sums: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """log of the sum over ranks of exp(sums)."""
    if group is None:
        return sums
    largest = sums.clone()
    dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=group)
    shares = (sums - largest).exp()
    dist.all_reduce(shares, group=group)
    return shares.log().add_(largest)


def _slope(logits: Tensor, sums: Tensor, own: Tensor, there: Tensor, weights: Tensor) -> Tensor:
    """weights * (softmax - the label's 1): (rows, V), in the memory of the logits."""
    slope = logits.sub_(sums[:, None]).exp_()
    slope.scatter_add_(1, own[:, None], -there[:, None])
    return slope.mul_(weights[:, None])


def _add_chunk(
    found: _Gradient, part: slice, slope: Tensor, hidden: Tensor, weight: Tensor
) -> None:
    slope = slope.to(weight.dtype)
    torch.mm(slope, weight, out=found.hidden[part])
    if slope.dtype == found.weight.dtype:
        found.weight.addmm_(slope.T, hidden[part])
    else:
        found.weight.add_(slope.T @ hidden[part])


def _common_scale(grad: Tensor, weights: Tensor) -> Tensor | None:
    """The scale with which grad = scale * weights; None where it is no multiple of them."""
    if not len(grad):
        return None
    scale = grad.sum() / weights.sum()
    return scale if torch.allclose(grad, scale * weights, rtol=1e-5, atol=0) else None


def _zeros(weight: Tensor) -> Tensor:
    return torch.zeros_like(weight, dtype=torch.float32)
