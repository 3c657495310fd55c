"""The head of a model, rows of the vocabulary, applied to a few hidden states at a time.

Shapes: R target tokens, D hidden, V vocabulary of this rank. What the losses over the vocabulary share:
qvl.losses.log_probs and qvl.losses.divergence.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

# Of fp32 logits at once: our choice, by measurement. A GPU needs more rows, or it would spend its
# time on adding to the gradient of the weight: 1,767 at V = 151,936, where a CPU takes 110.
CHUNK_BYTES = {"cpu": 1 << 26, "cuda": 1 << 30}


class Vocabulary(NamedTuple):
    """How logits become distributions."""

    temperature: float = 1.0
    """Logits are divided by it."""
    group: dist.ProcessGroup | None = None
    """The ranks that share the vocabulary; None where this one has all of it."""
    chunk_bytes: int | None = None
    """Of logits at once; None: by device."""


WHOLE = Vocabulary()


class Gradient:
    """The gradients of hidden states and weight, each None where it is not needed."""

    def __init__(self, hidden: Tensor, weight: Tensor, needed: tuple[bool, ...]) -> None:
        self._of = hidden, weight
        self.hidden = torch.empty_like(hidden) if needed[0] else None
        # In fp32, because bf16 would round each chunk's share to that of all before it.
        self.weight = torch.zeros_like(weight, dtype=torch.float32) if needed[1] else None

    def add(self, part: slice, slope: Tensor) -> None:
        """slope: (rows, V) the gradient of the logits of some rows."""
        hidden, weight = self._of
        slope = slope.to(weight.dtype)
        if self.hidden is not None:
            torch.mm(slope, weight, out=self.hidden[part])
        if self.weight is not None and slope.dtype == self.weight.dtype:
            self.weight.addmm_(slope.T, hidden[part])
        elif self.weight is not None:
            self.weight.add_(slope.T @ hidden[part])

    def scale(self, factor: Tensor) -> None:
        for gradient in (self.hidden, self.weight):
            if gradient is not None:
                gradient.mul_(factor.to(gradient.dtype))


def chunks(
    hidden: Tensor, weight: Tensor, vocabulary: Vocabulary
) -> Iterator[tuple[slice, Tensor]]:
    """Some rows, and their logits at the temperature, in fp32, in memory of their own."""
    size = vocabulary.chunk_bytes or CHUNK_BYTES[hidden.device.type]
    rows = max(1, size // (4 * len(weight)))
    for start in range(0, len(hidden), rows):
        part = slice(start, start + rows)
        logits = [F.linear(hidden[part], weight).float()]
        if vocabulary.temperature != 1:
            logits[0].div_(vocabulary.temperature)
        yield part, logits.pop()  # this frame must not hold them while the next exist


def common_scale(grad: Tensor, slopes: Tensor) -> Tensor | None:
    """The scale with which grad = scale * slopes, to fp32's rounding; None where it is no multiple
    of them."""
    largest = slopes.abs().max() if len(slopes) else 0.0
    if not largest:
        return None if grad.any() else grad.new_zeros(())
    units = slopes / largest  # squares must not leave fp32
    scale = (grad @ units) / (units @ units) / largest
    close = grad.abs() * 1e-5 + grad.abs().max() * 1e-6
    return scale if bool(((grad - scale * slopes).abs() <= close).all()) else None
