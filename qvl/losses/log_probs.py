"""Log-probabilities of tokens from hidden states, without ever holding all logits.

Shapes: R target tokens, D hidden, V vocabulary of this rank, K tokens per target. At R = 32,768 and
V = 151,936 the logits alone are 19.9 GB in fp32, and their softmax and gradient as much again; here
the logits of only a few rows exist at once. If the caller states the loss, as weights of the log-probs
or of terms that are functions of each one, the forward pass computes the gradient as well, with as many
matrix products as plain cross-entropy. Otherwise the backward pass computes the logits a second time.

Under a `group` each rank has its rows of the vocabulary, rank after rank; hidden states, ids and
results are the same on every rank, and so is the gradient of the hidden states.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from qvl.losses.head import WHOLE, Gradient, Vocabulary, chunks, common_scale

Terms = Callable[[Tensor, slice], Tensor]
"""(log-probs of some targets, (rows,) or (rows, K) as the ids are, which ones) -> terms of a loss
(rows,), each a differentiable function of its own target's log-probs."""


class Stated(NamedTuple):
    """What the caller will do with the log-probs: sum weights * terms(log-probs), times a factor."""

    weights: Tensor | None = None
    """(R,); None: 1."""
    terms: Terms | None = None
    """None: the log-probs themselves."""


def log_probs(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    weights: Tensor | None = None,
    vocabulary: Vocabulary = WHOLE,
    *,
    terms: Terms | None = None,
) -> Tensor:
    """log softmax(hidden @ weight.T / temperature)[ids], shaped like ids, in fp32.

    hidden: (R, D). weight: (V, D). ids: (R,) or (R, K), in the whole vocabulary. weights (R,) and
    terms state the loss: the sum of weights * terms(log_probs), up to a common factor; ids (R, K) need
    terms for it. The gradient is right for any other use, too, but fast only for this one. A weight or
    hidden states that need no gradient cost none.
    """
    stated = None if weights is None and terms is None else Stated(weights, terms)
    found, _ = _LogProbs.apply(hidden, weight, ids, stated, vocabulary, False)  # type: ignore[misc]
    return found


def log_probs_and_entropy(
    hidden: Tensor,
    weight: Tensor,
    ids: Tensor,
    vocabulary: Vocabulary = WHOLE,
    *,
    weights: Tensor | None = None,
    terms: Terms | None = None,
) -> tuple[Tensor, Tensor]:
    """The same log-probs, and the entropy of each target's distribution in nats (R,), from the same
    logits. Both have gradients; weights and terms state a loss that has no use for the entropy's."""
    stated = None if weights is None and terms is None else Stated(weights, terms)
    return _LogProbs.apply(hidden, weight, ids, stated, vocabulary, True)  # type: ignore[return-value]


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
    for part, logits in chunks(hidden, weight, vocabulary):
        values[part], ids[part] = logits.topk(local)
        _, sums[part], _, _ = _normalized(logits, logits[:, :0], vocabulary.group, False)
        del logits
    group = vocabulary.group
    if group is not None:
        ids += len(weight) * dist.get_rank(group)
        values, ids = (_gathered(each, group) for each in (values, ids))
        values, places = values.topk(k)
        ids = ids.gather(1, places)
    return values - sums[:, None], ids


class _LogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        ids: Tensor,
        stated: Stated | None,
        vocabulary: Vocabulary,
        with_entropy: bool,
    ) -> tuple[Tensor, Tensor | None]:
        assert stated is None or ids.ndim == 1 or stated.terms is not None
        ctx.set_materialize_grads(False)  # entropy is mostly logged alone
        columns = ids[:, None] if ids.ndim == 1 else ids  # (R, K)
        own, held = _own_ids(columns, len(weight), vocabulary.group)
        found = hidden.new_empty(own.shape, dtype=torch.float32)
        sums, entropies = hidden.new_empty((2, len(ids)), dtype=torch.float32)
        ctx.ready = slopes = None
        if stated is not None and any(ctx.needs_input_grad[:2]):
            ctx.ready = Gradient(hidden, weight, ctx.needs_input_grad)
            slopes = torch.empty_like(found)
        for part, logits in chunks(hidden, weight, vocabulary):
            chosen = logits.gather(1, own[part]).mul_(held[part])
            found[part], sums[part], totals, entropy = _normalized(
                logits, chosen, vocabulary.group, with_entropy
            )
            if entropy is not None:
                entropies[part] = entropy
            if ctx.ready is not None and stated is not None and slopes is not None:
                slopes[part] = _stated_slope(stated, found[part], part, ids.ndim)
                scaled = slopes[part] / vocabulary.temperature
                slope = logits.mul_(-scaled.sum(1, keepdim=True) / totals[:, None])
                slope.scatter_add_(1, own[part], scaled * held[part])
                ctx.ready.add(part, slope)
                del slope
            del logits  # before the next chunk's exist
        entropy = entropies if with_entropy else None
        ctx.save_for_backward(hidden, weight, own, held, sums, slopes, entropy)
        ctx.vocabulary = vocabulary
        return found.view(ids.shape), entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, own, held, sums, slopes, entropy = ctx.saved_tensors
        vocabulary = ctx.vocabulary
        grad, to_entropy = grads
        if grad is None:
            grad = torch.zeros(own.shape, device=own.device)
        ready, ctx.ready = ctx.ready, None
        scale = None
        if ready is not None and to_entropy is None:
            scale = common_scale(grad.reshape(-1), slopes.view(-1))
        if ready is not None and scale is not None:
            gradient = ready
            gradient.scale(scale)
        else:
            del ready
            gradient = Gradient(hidden, weight, ctx.needs_input_grad)
            grad = grad.view(own.shape) / vocabulary.temperature
            for part, logits in chunks(hidden, weight, vocabulary):
                more = None
                if entropy is not None and to_entropy is not None:
                    more = entropy[part], to_entropy[part] / vocabulary.temperature
                slope = _slope(logits, sums[part], own[part], held[part], grad[part], more)
                gradient.add(part, slope)
                del logits, slope
        if vocabulary.group is not None and gradient.hidden is not None:
            dist.all_reduce(gradient.hidden, group=vocabulary.group)
        of_weight = gradient.weight
        if of_weight is not None:
            of_weight = of_weight.to(weight.dtype)
        return gradient.hidden, of_weight, None, None, None, None


def _own_ids(ids: Tensor, size: int, group: dist.ProcessGroup | None) -> tuple[Tensor, Tensor]:
    """The ids in this rank's part of the vocabulary, and 1 where they lie in it, else 0."""
    first = size * dist.get_rank(group) if group is not None else 0
    own = ids - first
    held = (own >= 0) & (own < size)
    return own.clamp(0, size - 1), held.float()


def _normalized(
    logits: Tensor, chosen: Tensor, group: dist.ProcessGroup | None, with_entropy: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Replace the logits (rows, V) with exp(logits - m), m the largest of a row over all ranks.

    chosen: (rows, K) logits, 0 where another rank has the token. Returns the log-probs of the chosen
    (rows, K); the log of the sum of exp(logits), the sum of exp(logits - m) and the entropy, (rows,).
    """
    largest = logits.amax(1)
    if group is not None:
        dist.all_reduce(largest, op=dist.ReduceOp.MAX, group=group)
    logits.sub_(largest[:, None])
    if with_entropy:
        shifted = logits.clone()
        products = shifted.mul_(logits.exp_()).sum(1)
        del shifted
    else:
        products = logits.exp_().new_zeros(len(logits))
    totals = logits.sum(1)
    if group is not None:
        sums = torch.cat([chosen, totals[:, None], products[:, None]], 1)
        dist.all_reduce(sums, group=group)
        chosen, totals, products = sums[:, :-2], sums[:, -2], sums[:, -1]
    logs = totals.log()
    entropy = logs - products / totals if with_entropy else None
    return chosen - largest[:, None] - logs[:, None], largest + logs, totals, entropy


def _stated_slope(stated: Stated, log_probs: Tensor, part: slice, ndim: int) -> Tensor:
    """The gradient of the stated loss by the log-probs of some rows (rows, K), up to its factor.

    ndim: of the ids, which the terms' log-probs are shaped like.
    """
    slope = torch.ones_like(log_probs)
    if stated.terms is not None:
        with torch.enable_grad():
            own = log_probs.detach().requires_grad_()
            terms = stated.terms(own if ndim == 2 else own[:, 0], part)
            (slope,) = torch.autograd.grad(terms.sum(), own)
    return slope if stated.weights is None else slope * stated.weights[part, None]


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
