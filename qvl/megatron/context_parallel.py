"""The tokens of a pack that a rank computes, under context and sequence parallelism.

Shapes: T tokens of the padded pack, C context-parallel ranks. The pack as a whole, not each of its
records, is divided into 2 C chunks; rank r has chunks r and 2 C - 1 - r, so that the tokens with many
before them and those with few are shared evenly.
"""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core import parallel_state
from torch import Tensor

from qvl.model.batch import Batch

Span = tuple[int, int]


def padded(batch: Batch, *, sequence_parallel: bool) -> Batch:
    """The batch with a last record, without target tokens, so that its ranks' shares are equal."""
    size = parallel_state.get_context_parallel_world_size()
    multiple = 2 * size if size > 1 else 1
    if sequence_parallel:
        multiple *= parallel_state.get_tensor_model_parallel_world_size()
    missing = -len(batch.ids) % multiple
    if not missing:
        return batch
    return replace(
        batch,
        ids=F.pad(batch.ids, (0, missing)),
        positions=F.pad(batch.positions, (0, missing)),
        lengths=[*batch.lengths, missing],
    )


def spans(count: int, rank: int, size: int) -> list[Span]:
    """The spans of a pack of `count` tokens on a context-parallel rank, in its order."""
    if size == 1:
        return [(0, count)]
    chunk = count // (2 * size)
    return [(at * chunk, (at + 1) * chunk) for at in (rank, 2 * size - 1 - rank)]


def tokens(count: int, rank: int, size: int) -> Tensor:
    """(T / C,) the tokens of those spans."""
    return torch.cat([torch.arange(*span) for span in spans(count, rank, size)])


def own_tokens(count: int) -> Tensor:
    """(T / C,) the tokens of this rank."""
    return tokens(
        count,
        parallel_state.get_context_parallel_rank(),
        parallel_state.get_context_parallel_world_size(),
    )


def places(own: Tensor, count: int) -> Tensor:
    """(T,) where each token lies in `own`; -1 where another rank has it."""
    where = torch.full((count,), -1, dtype=torch.long, device=own.device)
    where[own] = torch.arange(len(own), device=own.device)
    return where


def add_over_ranks(values: Tensor) -> None:
    """Replace values with their sum over the context-parallel ranks, in place."""
    torch.distributed.all_reduce(values, group=parallel_state.get_context_parallel_group())


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum over the context-parallel ranks, with a gradient: where each rank has a part of the
    loss, the gradient of a rank's values is the sum of those of all ranks' results."""
    if parallel_state.get_context_parallel_world_size() == 1:
        return values
    found: Any = _Sum.apply(values)
    return found


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        values = values.clone()
        add_over_ranks(values)
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        grad = grads[0].clone()
        add_over_ranks(grad)
        return grad
