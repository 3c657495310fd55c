"""Megatron's schedule over the micro-batches of a step, forward alone or with backward."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import tee
from typing import Any

import torch
from megatron.core.pipeline_parallel.schedules import get_forward_backward_func
from torch import Tensor

from qvl.megatron import parallel
from qvl.megatron.output import Output
from qvl.model.batch import Batch

Read = Callable[[Output], tuple[Tensor, Any]]  # -> (the part of the loss, what is kept of it)


def run(
    chunks: Sequence[Any], batches: Iterable[Batch], count: int, read: Read, *, backward: bool
) -> list[Any]:
    """Run `count` micro-batches; return what `read` keeps of each, on ranks of the last pipeline
    stage, [] on others.

    chunks: this rank's stages, several of them where stages are interleaved. backward: also the
    gradients of the sum of the losses; otherwise nothing is kept for them.
    """
    with torch.set_grad_enabled(backward):
        return get_forward_backward_func()(
            forward_step_func=partial(_forward, read),
            data_iterator=list(tee(batches, len(chunks))),  # each chunk sees every batch
            model=list(chunks),
            num_microbatches=count,
            seq_length=1,  # packs differ in length, and stages announce theirs
            micro_batch_size=1,
            forward_only=not backward,
        )


def _forward(read: Read, batches: Iterator[Batch], model: Any) -> tuple[Any, Any]:
    batch = next(batches).to(parallel.device())
    return model(batch), partial(_read, read)


def _read(read: Read, output: Output) -> tuple[Tensor, Tensor, Any]:
    loss, kept = read(output)
    # Megatron divides by a number of tokens, which must be whole; losses have divided already.
    return loss, torch.tensor(len(output.batch.labels), dtype=torch.int), kept
