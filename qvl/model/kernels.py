"""torch's kernels of attention, chosen by what the installed release and the device have.

Shapes: T queries and S keys of a pack, N records, H heads, G key-value heads, D head dimension.

FlashAttention takes a whole pack in one call, `varlen_attn`, in half precision on a GPU. Its arguments
differ by release: 2.10 has `is_causal`, and no `scale`; 2.11 has `window_size` and `scale`; 2.12 adds
`enable_gqa`. Before 2.10 there is none. In fp32 a GPU has a kernel that needs no memory for all scores,
but only where every head has keys of its own; otherwise torch computes all scores at once.
"""

import inspect
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # before torch 2.10
    varlen_attn: Any = None


@dataclass
class Bounds:
    """Where each of N records begins and the last ends, and the longest."""

    queries: Tensor
    """(N + 1,)"""
    keys: Tensor
    """(N + 1,)"""
    longest: tuple[int, int]

    @classmethod
    def of(cls, queries: list[int], keys: list[int], device: torch.device) -> "Bounds":
        first, other = (
            torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)
            for lengths in (queries, keys)
        )
        return cls(first, other, (max(queries), max(keys)))


def has_varlen(query: Tensor) -> bool:
    """Whether FlashAttention supports it: not in fp32, nor on a CPU."""
    half = query.dtype in (torch.bfloat16, torch.float16)
    return query.is_cuda and half and varlen_attn is not None


def attend_packed(
    query: Tensor, key: Tensor, value: Tensor, bounds: Bounds, *, scale: float, causal: bool
) -> Tensor:
    """query (T, H, D), key and value (S, G, D) -> (T, H, D), each record's queries on its own keys.

    causal: where a record has fewer queries than keys, they are the last ones.
    """
    known = inspect.signature(varlen_attn).parameters
    asked: dict[str, Any] = {}
    if "window_size" in known:
        asked["window_size"] = (-1, 0) if causal else (-1, -1)
    else:
        asked["is_causal"] = causal
    if "scale" in known:
        asked["scale"] = scale
    else:  # the kernel takes D ** -0.5
        query = query * (scale * query.shape[-1] ** 0.5)
    if key.shape[1] != query.shape[1]:
        if "enable_gqa" in known:
            asked["enable_gqa"] = True
        else:
            key, value = _equal_heads(query, key, value, dim=1)
    longest = bounds.longest
    found: Any = varlen_attn(query, key, value, bounds.queries, bounds.keys, *longest, **asked)
    return found


def attend(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
    """Causal attention of equally long records: query (B, H, L, D), key and value (B, G, L, D) ->
    (B, H, L, D)."""
    grouped = key.shape[1] != query.shape[1]
    if grouped and query.is_cuda and query.dtype == torch.float32:
        key, value = _equal_heads(query, key, value, dim=1)
        grouped = False
    return F.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scale, enable_gqa=grouped
    )


def _equal_heads(query: Tensor, key: Tensor, value: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Keys and values of every head; neighbouring heads share theirs."""
    times = query.shape[dim] // key.shape[dim]
    return key.repeat_interleave(times, dim), value.repeat_interleave(times, dim)
