"""Core attention on torch's own kernels: causal, and within each record of a pack.

Shapes: T tokens of a pack, H heads, G key-value heads, D head dimension. On a GPU in half precision
FlashAttention takes a whole pack in one call, by its records' bounds. Elsewhere records of similar
length are batched, (B, L), and attend in one call: the padding after a record's last token is seen by
none of its tokens, because attention is causal.

Under context parallelism a rank has a share of the pack's queries and gathers all keys and values,
as Llama 3 does (section 3.3.2): one exchange, whatever the records' bounds are. At 256K with 2 key-
value heads that is 0.27 GB per layer in bf16, freed once the layer is done.
"""

from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core import parallel_state
from megatron.core.packed_seq_params import PackedSeqParams
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right

from qvl.megatron import context_parallel, last_queries
from qvl.model import kernels
from qvl.model.kernels import Bounds

FILL = 0.75  # records down to this share of the longest join its call: our choice, by measurement
SMALL = 32  # and any record where the longest has no more tokens than this


@dataclass
class Rectangle:
    """Records that attend in one call."""

    count: int
    length: int
    tokens: Tensor
    """(count * length,) the token of the pack in each place; padding repeats a record's last."""


@dataclass
class QuerySpan:
    """Queries of one record on a context-parallel rank, and the keys that they see."""

    queries: slice
    """Of this rank's tokens."""
    keys: slice
    """Of the pack's, up to the last query's own."""


@dataclass
class Segments(PackedSeqParams):
    """What Megatron passes to every layer: the records of one pack and how they attend."""

    bounds: Bounds | None = None
    """Of the records, or of the query spans and their keys, concatenated."""
    rectangles: list[Rectangle] = field(default_factory=list)
    places: Tensor | None = None
    """(T,) where each token of the pack lies among those of all rectangles."""
    query_spans: list[QuerySpan] = field(default_factory=list)
    """Under context parallelism, in place of rectangles."""
    gathered: Tensor | None = None
    """(T,) where each token of the pack lies among those of all ranks, concatenated."""


def segments(lengths: list[int], device: torch.device, rank: int = 0, size: int = 1) -> Segments:
    """The plan for a pack whose records have these lengths, on context-parallel rank `rank` of
    `size`."""
    starts = [0, *accumulate(lengths)]
    facts: dict[str, Any] = {
        # Rope need not be split at the records' bounds: the angles it gets are those of this rank's
        # tokens. "sbhd" tells Megatron.
        "qkv_format": "sbhd",
        "max_seqlen_q": max(lengths),
        "max_seqlen_kv": max(lengths),
    }
    bounds = Bounds.of(lengths, lengths, device)
    facts |= {"cu_seqlens_q": bounds.queries, "cu_seqlens_kv": bounds.keys}
    if size > 1:
        order = torch.cat([context_parallel.tokens(starts[-1], each, size) for each in range(size)])
        query_spans = _query_spans(starts, context_parallel.spans(starts[-1], rank, size))
        queries, keys = (
            [span.stop - span.start for span in spans]
            for spans in zip(*((span.queries, span.keys) for span in query_spans), strict=True)
        )
        bounds = Bounds.of(queries, keys, device)
        return Segments(
            **facts, query_spans=query_spans, bounds=bounds, gathered=order.argsort().to(device)
        )
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
    places = places.to(device)
    return Segments(**facts, bounds=bounds, rectangles=rectangles, places=places)


def _query_spans(starts: list[int], spans: list[context_parallel.Span]) -> list[QuerySpan]:
    """Each record's queries in each span of a rank, whose spans are concatenated."""
    found, offset = [], 0
    for first, last in spans:
        for start, end in pairwise(starts):
            begin, stop = max(start, first), min(end, last)
            if begin < stop:
                at = offset + begin - first
                found.append(QuerySpan(slice(at, at + stop - begin), slice(start, stop)))
        offset += last - first
    return found


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
        """query (T, 1, H, D), key and value (T, 1, G, D) -> (T, 1, H * D), T of this rank."""
        assert packed_seq_params is not None
        if packed_seq_params.gathered is not None:
            return self._attend_to_all(query, key, value, packed_seq_params)
        if kernels.has_varlen(query):
            bounds = packed_seq_params.bounds
            return self._attend_packed(query[:, 0], key[:, 0], value[:, 0], bounds)[:, None]
        assert packed_seq_params.places is not None
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
        return kernels.attend(query, key, value, scale=self.scale)

    def _attend_packed(
        self, query: Tensor, key: Tensor, value: Tensor, bounds: Bounds | None
    ) -> Tensor:
        """query (T, H, D), key and value (S, G, D) -> (T, H * D). Where a record has fewer queries
        than keys, they are the last ones."""
        assert bounds is not None
        return kernels.attend_packed(
            query, key, value, bounds, scale=self.scale, causal=True
        ).flatten(1)

    def _attend_to_all(self, query: Tensor, key: Tensor, value: Tensor, plan: Segments) -> Tensor:
        """This rank's queries, each record's on all of its keys; see `forward`."""
        mine = torch.cat([key, value], dim=-1)[:, 0].contiguous()  # (T / C, G, 2 D)
        # Backward adds up the gradients of a key from every rank's queries.
        every = gather_from_sequence_parallel_region(
            mine,
            tensor_parallel_output_grad=True,
            group=parallel_state.get_context_parallel_group(),
        )
        keys, values = every.index_select(0, plan.gathered).chunk(2, dim=-1)
        if kernels.has_varlen(query):
            keys = torch.cat([keys[span.keys] for span in plan.query_spans])
            values = torch.cat([values[span.keys] for span in plan.query_spans])
            return self._attend_packed(query[:, 0], keys, values, plan.bounds)[:, None]
        out = []
        for span in plan.query_spans:
            one = [query[span.queries, 0], keys[span.keys], values[span.keys]]
            seen = self._attend_last(*(x.transpose(0, 1) for x in one))  # (H, Q, D)
            out.append(seen.transpose(0, 1).flatten(1))
        return torch.cat(out)[:, None]

    def _attend_last(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Queries (H, Q, D) that are the last ones of the keys (G, K, D)."""
        if not query.is_cuda:
            return last_queries.attend(query, key, value, self.scale)
        query, key, value = query[None], key[None], value[None]
        queries, keys = query.shape[2], key.shape[2]
        if queries == keys:
            return self._attend(query, key, value)[0]
        # A kernel that takes the mask by its name, but needs every head to have its own keys.
        times = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(times, dim=1) for x in (key, value))
        mask: Any = causal_lower_right(queries, keys)
        return F.scaled_dot_product_attention(query, key, value, mask, scale=self.scale)[0]
