"""Core attention on torch's own kernels: packed records, each causal and alone.

Shapes: T tokens of a pack, H heads, G key-value heads, D head dimension. A pack holds many short
records, so those of like length are laid side by side, (B, L), and attend in one call: behind a
record's last token comes padding that, being causal, none of its tokens sees.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.packed_seq_params import PackedSeqParams
from torch import Tensor

FILL = 0.75  # records down to this share of the longest join its call: our choice, by measurement
SMALL = 32  # and any record where the longest has no more tokens than this


@dataclass
class Rectangle:
    """Records that attend in one call."""

    count: int
    length: int
    tokens: Tensor
    """(count * length,) which token of the pack lies where; padding repeats a record's last."""


@dataclass
class Segments(PackedSeqParams):
    """What Megatron passes to every layer of one pack: the records and how they attend."""

    rectangles: list[Rectangle] = field(default_factory=list)
    places: Tensor | None = None
    """(T,) where each token of the pack lies among those of all rectangles."""


def segments(lengths: list[int], device: torch.device) -> Segments:
    """The plan for a pack whose records have these lengths."""
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    bounds = torch.tensor(starts, dtype=torch.int32, device=device)
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = lengths[groups[-1][0]] if groups else 0
        if groups and (longest <= SMALL or lengths[index] >= FILL * longest):
            groups[-1].append(index)
        else:
            groups.append([index])
    rectangles, places, offset = [], torch.empty(starts[-1], dtype=torch.long), 0
    for group in groups:
        longest = lengths[group[0]]
        first = torch.tensor([starts[index] for index in group])[:, None]  # (B, 1)
        own = torch.tensor([lengths[index] for index in group])[:, None]
        column = torch.arange(longest)[None]  # (1, L)
        tokens = first + torch.minimum(column, own - 1)
        slots = offset + torch.arange(tokens.numel()).view_as(tokens)
        places[tokens[column < own]] = slots[column < own]
        rectangles.append(Rectangle(len(group), longest, tokens.flatten().to(device)))
        offset += tokens.numel()
    return Segments(
        # Without context parallelism rope needs no cut at the records' bounds, and sbhd says so.
        qkv_format="sbhd",
        cu_seqlens_q=bounds,
        cu_seqlens_kv=bounds,
        max_seqlen_q=max(lengths),
        max_seqlen_kv=max(lengths),
        rectangles=rectangles,
        places=places.to(device),
    )


class PackedAttention(torch.nn.Module):
    """The `core_attention` of a layer spec. Its signature is Megatron's."""

    def __init__(
        self,
        config: Any,
        layer_number: int,
        attn_mask_type: Any,
        attention_type: str,
        softmax_scale: float | None = None,
        **_: Any,
    ) -> None:
        super().__init__()
        if config.context_parallel_size > 1:
            raise NotImplementedError("context parallelism")
        self.scale = softmax_scale or config.kv_channels**-0.5

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None = None,
        attn_mask_type: Any = None,
        attention_bias: Tensor | None = None,
        packed_seq_params: Segments | None = None,
    ) -> Tensor:
        """query (T, 1, H, D), key and value (T, 1, G, D) -> (T, 1, H * D)."""
        assert packed_seq_params is not None and packed_seq_params.places is not None
        heads, groups = query.shape[2], key.shape[2]
        if len(packed_seq_params.rectangles) == 1 and len(packed_seq_params.cu_seqlens_q) == 2:
            one = [x.permute(1, 2, 0, 3) for x in (query, key, value)]  # (1, H, T, D)
            return self._attend(*one).permute(2, 0, 1, 3).flatten(2)
        joined = torch.cat([query, key, value], dim=2)[:, 0]  # (T, H + 2 G, D)
        out = []
        for rectangle in packed_seq_params.rectangles:
            laid = joined.index_select(0, rectangle.tokens)
            laid = laid.view(rectangle.count, rectangle.length, heads + 2 * groups, -1)
            parts = laid.transpose(1, 2).split([heads, groups, groups], dim=1)  # (B, H, L, D)
            out.append(self._attend(*parts).transpose(1, 2).flatten(2).flatten(0, 1))
        flat = torch.cat(out) if len(out) > 1 else out[0]
        return flat.index_select(0, packed_seq_params.places)[:, None]

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=self.scale, enable_gqa=True
        )
