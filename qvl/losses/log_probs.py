"""Log-probabilities of tokens from hidden states, without ever holding all logits.

Shapes: R target tokens, D hidden, V vocabulary of this rank, K tokens per target. At R = 32,768 and
V = 151,936 the logits alone are 19.9 GB in fp32, and their softmax and gradient as much again; here
the logits of only a few rows exist at once. If the caller passes the weights of the log-probs, the forward
pass computes the gradient as well, with as many matrix products as plain cross-entropy. Without them the
backward pass computes the logits a second time.

Under a `group` each rank has its rows of the vocabulary, rank after rank; hidden states, ids and
results are the same on every rank, and so is the gradient of the hidden states.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

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


def log_probs(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    weights: Tensor | None = None,
    vocabulary: Vocabulary = WHOLE,
) -> Tensor:
    """log softmax(hidden @ weight.T / temperature)[ids], shaped like ids, in fp32.

    hidden: (R, D). weight: (V, D). ids: (R,) or (R, K), in the whole vocabulary. weights: (R,),
    only with ids (R,): the factors with which the caller will multiply the log-probs before summing them.
    The gradient is right for any other use, too, but fast only for this one, up to a common factor.
    """
    found, _ = _LogProbs.apply(hidden, weight, ids, weights, vocabulary, False)  # type: ignore[misc]
    return found


def log_probs_and_entropy(
    hidden: Tensor, weight: Tensor, ids: Tensor, vocabulary: Vocabulary = WHOLE
) -> tuple[Tensor, Tensor]:
    """The same log-probs, and the entropy of each target's distribution in nats (R,), from the same
    logits. Both have gradients."""
    return _LogProbs.apply(hidden, weight, ids, None, vocabulary, True)  # type: ignore[return-value]


@torch.no_grad()
def top_k(
    hidden: Tensor, weight: Tensor, k: int, vocabulary: Vocabulary = WHOLE
) -> tuple[Tensor, Tensor]:
    """The k likeliest tokens of each target, best first: (log-probs (R, k), ids (R, k)); without
    gradient."""
    local = min(k, len(weight))
    values = hidden.new_empty((len(hidden), local), dtype=torch.float32)
    ids = torch.empty((len(hidden), local), dtype=torch.long, device=hidden.device)
    sums = hidden.new_empty(len(hidden), dtype=torch.float32)
    for part, logits in _chunks(hidden, weight, vocabulary):
        values[part], ids[part] = logits.topk(local)
        sums[part] = _log_sum(torch.logsumexp(logits, 1), vocabulary.group)
        del logits
    group = vocabulary.group
    if group is not None:
        ids += len(weight) * dist.get_rank(group)
        values, ids = (_gathered(each, group) for each in (values, ids))
        values, places = values.topk(k)
        ids = ids.gather(1, places)
    return values - sums[:, None], ids


class _Gradient(NamedTuple):
    hidden: Tensor
    weight: Tensor
    """In fp32, because bf16 would round each chunk's share to that of all before it."""


class _LogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        ids: Tensor,
        weights: Tensor | None,
        vocabulary: Vocabulary,
        with_entropy: bool,
    ) -> tuple[Tensor, Tensor | None]:
        assert weights is None or ids.ndim == 1
        ctx.set_materialize_grads(False)  # entropy is mostly logged alone
        columns = ids[:, None] if ids.ndim == 1 else ids  # (R, K)
        own, held = _own_ids(columns, len(weight), vocabulary.group)
        chosen = hidden.new_empty(own.shape, dtype=torch.float32)
        sums, entropies = hidden.new_empty((2, len(ids)), dtype=torch.float32)
        ctx.ready = None
        if weights is not None and any(ctx.needs_input_grad[:2]):
            ctx.ready = _Gradient(torch.empty_like(hidden), _zeros(weight))
        for part, logits in _chunks(hidden, weight, vocabulary):
            chosen[part] = logits.gather(1, own[part]) * held[part]
            sums[part] = _log_sum(torch.logsumexp(logits, 1), vocabulary.group)
            if with_entropy:
                every = logits - sums[part, None]
                entropies[part] = -every.exp().mul_(every).sum(1)
                del every
            if ctx.ready is not None and weights is not None:
                scaled = weights[part, None] / vocabulary.temperature
                slope = _slope(logits, sums[part], own[part], held[part], scaled)
                _add_chunk(ctx.ready, part, slope, hidden, weight)
                del slope
            del logits  # before the next chunk's exist
        if vocabulary.group is not None:
            dist.all_reduce(chosen, group=vocabulary.group)
            if with_entropy:
                dist.all_reduce(entropies, group=vocabulary.group)
        entropy = entropies if with_entropy else None
        ctx.save_for_backward(hidden, weight, own, held, sums, weights, entropy)
        ctx.vocabulary = vocabulary
        return (chosen - sums[:, None]).view(ids.shape), entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, own, held, sums, weights, entropy = ctx.saved_tensors
        vocabulary = ctx.vocabulary
        grad, to_entropy = grads
        if grad is None:
            grad = torch.zeros(own.shape, device=own.device)
        ready, ctx.ready = ctx.ready, None
        scale = _common_scale(grad, weights) if ready is not None else None
        if ready is not None and scale is not None:
            found = ready
            found.hidden.mul_(scale.to(hidden.dtype))
            found.weight.mul_(scale)
        else:
            found = _Gradient(torch.empty_like(hidden), _zeros(weight))
            grad = grad.view(own.shape) / vocabulary.temperature
            for part, logits in _chunks(hidden, weight, vocabulary):
                more = None
                if entropy is not None and to_entropy is not None:
                    more = entropy[part], to_entropy[part] / vocabulary.temperature
                slope = _slope(logits, sums[part], own[part], held[part], grad[part], more)
                _add_chunk(found, part, slope, hidden, weight)
                del logits, slope
        if vocabulary.group is not None:
            dist.all_reduce(found.hidden, group=vocabulary.group)
        return found.hidden, found.weight.to(weight.dtype), None, None, None, None


def _chunks(
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


def _own_ids(ids: Tensor, size: int, group: dist.ProcessGroup | None) -> tuple[Tensor, Tensor]:
    """The ids in this rank's part of the vocabulary, and 1 where they lie in it, else 0."""
    first = size * dist.get_rank(group) if group is not None else 0
    own = ids - first
    held = (own >= 0) & (own < size)
    return own.clamp(0, size - 1), held.float()


def _log_sum(sums: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """log of the sum over ranks of exp(sums)."""
    if group is None:
        return sums
    largest = sums.clone()
    dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=group)
    shares = (sums - largest).exp()
    dist.all_reduce(shares, group=group)
    return shares.log().add_(largest)


def _gathered(values: Tensor, group: dist.ProcessGroup) -> Tensor:
    """(R, k) of each rank, side by side."""
    every = [torch.empty_like(values) for _ in range(dist.get_world_size(group))]
    dist.all_gather(every, values, group=group)
    return torch.cat(every, 1)


def _slope(
    logits: Tensor,
    sums: Tensor,
    own: Tensor,
    held: Tensor,
    grads: Tensor,
    entropy: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The gradient of the logits (rows, V), in their memory, from that of the log-probs (rows, K).
    entropy: its values and their gradient, (rows,) each.

    d log p_i / d z_v = [i = v] - p_v;  d H / d z_v = -p_v (log p_v + H).
    """
    of_probs = -grads.sum(1, keepdim=True)
    logits.sub_(sums[:, None])  # log p
    if entropy is not None:
        values, upstream = entropy
        of_probs = of_probs - upstream[:, None] * (logits + values[:, None])
    slope = logits.exp_().mul_(of_probs)
    return slope.scatter_add_(1, own, grads * held)


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
