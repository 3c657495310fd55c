"""Causal attention of the last queries of a record on all of its keys, without a mask, on a CPU.

Shapes: Q queries, K keys, H heads, G key-value heads, D head dimension. torch has a kernel for queries
that see every key, and one for equally many queries and keys; the case between the two would need a
mask, Q x K and once more as numbers: 4.6 GB for half of a record of 43,000 tokens. So the keys before
the first query are attended to without a mask and the last Q causally, and the two results are merged
by their softmax sums, as in FlashAttention (arXiv 2205.14135, section 3.1). Backward, either kernel
gets the merged result and sum, from which it computes its own share of the gradient.
"""

from typing import Any

import torch
from torch import Tensor

# What torch's scaled_dot_product_attention itself calls on a CPU; only this call returns the sums.
_forward: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """query (H, Q, D), key and value (G, K, D), Q <= K -> (H, Q, D). Query i sees keys up to
    K - Q + i; H is a multiple of G, and neighbouring heads share keys."""
    out: Any = _Attend.apply(query, key, value, scale)
    return out


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        laid = _grouped(query, key)
        out = sums = None
        for keys, causal in _blocks(query, key):
            parts = [_shared(x[:, keys], laid) for x in (key, value)]
            more, more_sums = _forward(laid, *parts, 0.0, causal, scale=scale)
            if out is None or sums is None:
                out, sums = more, more_sums
                continue
            both = torch.logaddexp(sums, more_sums)
            own, other = ((each - both).exp_()[..., None] for each in (sums, more_sums))
            out, sums = (out * own).addcmul_(more, other).to(query.dtype), both  # weights are fp32
        assert out is not None
        ctx.save_for_backward(query, key, value, out, sums)
        ctx.scale = scale
        return out.flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        query, key, value, out, sums = ctx.saved_tensors
        laid, grad = _grouped(query, key), _grouped(grads[0], key)
        of_query, of_keys, of_values = None, [], []
        for keys, causal in _blocks(query, key):
            parts = [_shared(x[:, keys], laid) for x in (key, value)]
            more = _backward(grad, laid, *parts, out, sums, 0.0, causal, scale=ctx.scale)
            of_query = more[0] if of_query is None else of_query.add_(more[0])
            of_keys.append(more[1].sum(1))  # over the heads that share them
            of_values.append(more[2].sum(1))
        assert of_query is not None
        return of_query.flatten(0, 1), torch.cat(of_keys, 1), torch.cat(of_values, 1), None


def _blocks(query: Tensor, key: Tensor) -> list[tuple[slice, bool]]:
    """The keys of each call, and whether it is causal."""
    before = key.shape[1] - query.shape[1]
    own = (slice(before, None), True)
    return [(slice(0, before), False), own] if before else [own]


def _grouped(x: Tensor, key: Tensor) -> Tensor:
    """(H, Q, D) -> (G, H / G, Q, D)."""
    return x.unflatten(0, (len(key), -1))


def _shared(x: Tensor, laid: Tensor) -> Tensor:
    """(G, K, D) -> (G, H / G, K, D), not copied."""
    return x[:, None].expand(-1, laid.shape[1], -1, -1)
