"""Images dealt over the ranks of tensor and context parallelism, each of which needs all of their tokens.

Shapes: M image tokens of a pack, m of this rank's images, D hidden.

The gradient of a rank's tokens is the sum over the ranks that used them. Tensor-parallel ranks have the same
gradient each, so the sum is that of the context-parallel ones times their number, by which Megatron divides
the gradients of the tower's parameters (`average_gradients_across_tp_domain`).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from qvl.model.dealing import Share


def share() -> Share:
    """This rank among those that share a pack's tokens."""
    group = _group()
    return Share(group.rank(), group.size())


def gather(mine: Tensor, counts: Sequence[int], *, divided: bool = False) -> Tensor:
    """The vectors (m, D) of every rank's images, rank after rank: (M, D). counts: m of each rank.

    divided: each tensor-parallel rank uses some rows alone, as under sequence parallelism, so that
    their gradients add up to one, and not to one each. The caller keeps the rows that it needs: at 256K
    all of them take gigabytes.
    """
    every: Any = _Gather.apply(mine, counts, divided)
    return every


def _group() -> Any:
    return parallel_state.get_tensor_and_context_parallel_group()


class _Gather(torch.autograd.Function):
    """Every rank sends as many rows as the one with the most."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, counts: Sequence[int], divided: bool) -> Tensor:
        ctx.counts, ctx.divided = counts, divided
        most, group = max(counts), _group()
        padded = mine.new_zeros(most, mine.shape[1])
        padded[: len(mine)] = mine
        every = mine.new_empty(most * group.size(), mine.shape[1])
        dist.all_gather_into_tensor(every, padded, group=group)
        return torch.cat(
            [part[:count] for part, count in zip(every.split(most), counts, strict=True)]
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        counts, group = ctx.counts, _group()
        most, width = max(counts), grads[0].shape[1]
        every = grads[0].new_zeros(len(counts), most, width)
        for part, grad in zip(every, grads[0].split(list(counts)), strict=True):
            part[: len(grad)] = grad
        own = every.new_empty(most, width)
        dist.reduce_scatter_tensor(own, every.flatten(0, 1), group=group)
        if ctx.divided:
            own *= parallel_state.get_tensor_model_parallel_world_size()
        return own[: counts[group.rank()]], None, None
