"""The forward pass over prompts that are to be continued: whole, or from where a known prefix ends.

Shapes: B prompts, W columns, C of the longest prefix, N of the longest rest, V vocabulary, K key-value heads,
D head dimension.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers.cache_utils import Cache

from qvl.engines.local.passes import prompts
from qvl.engines.local.passes.cache import GrowingLayer
from qvl.engines.local.passes.prefixes import Prefix
from qvl.engines.local.passes.prompts import PreparedPrompt


class Prefilled(NamedTuple):
    """Prompts that all end at the same column."""

    logits: torch.Tensor
    """(B, V) of the last token"""
    cache: Cache
    starts: torch.Tensor
    """(B,) the first column of each"""
    width: int


def whole(model: Any, part: list[PreparedPrompt], device: torch.device) -> Prefilled:
    """Prompts from their first token."""
    inputs = prompts.padded(part, device, left=True)
    width = inputs["input_ids"].shape[1]
    starts = [width - len(prompt.ids) for prompt in part]
    left = torch.tensor(starts, device=device)
    mask = (torch.arange(width, device=device) >= left[:, None]).long()
    cache = _cache(model)
    out = model(
        **inputs,
        attention_mask=mask if any(starts) else None,
        cache=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return Prefilled(out.logits[:, -1], cache, left, width)


def after(
    model: Any, part: list[PreparedPrompt], prefixes: Sequence[Prefix], device: torch.device
) -> Prefilled:
    """Prompts whose first tokens are known: the rest of each."""
    rests = [prompt.rest(each.length) for prompt, each in zip(part, prefixes, strict=True)]
    inputs = prompts.padded(rests, device, left=True)
    known = torch.tensor([each.length for each in prefixes], device=device)  # (B,)
    new = torch.tensor([len(rest.ids) for rest in rests], device=device)
    most_known, most_new = int(known.max()), int(new.max())
    cache = _cache(model)
    for number, layer in enumerate(cache.layers):
        layer.update(
            _right_aligned([each.keys[number] for each in prefixes], most_known),
            _right_aligned([each.values[number] for each in prefixes], most_known),
        )
    out = model(
        **inputs,
        attention_mask=_mask(known, new, most_known, most_new, model.dtype),
        cache=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    # Between a prefix and its rest lies the padding of the rest: the columns move together.
    width = int((known + new).max())
    from_end = torch.arange(width, device=device) - width  # (W,) -1 is the last column
    from_new = most_known + most_new + from_end
    from_known = most_known + from_end + new[:, None]
    columns = torch.where(from_end >= -new[:, None], from_new, from_known).clamp_(min=0)  # (B, W)
    for layer in cache.layers:
        layer.take_columns(columns)
    return Prefilled(out.logits[:, -1], cache, width - known - new, width)


def _cache(model: Any) -> Any:
    layers = model.config.text_config.num_hidden_layers
    return Cache(layers=[GrowingLayer() for _ in range(layers)])


def _right_aligned(states: Sequence[torch.Tensor], width: int) -> torch.Tensor:
    """(K, C, D) each -> (B, K, W, D), with zeros before the shorter."""
    heads, _, size = states[0].shape
    out = states[0].new_zeros(len(states), heads, width, size)
    for row, each in zip(out, states, strict=True):
        row[:, width - each.shape[1] :] = each
    return out


def _mask(
    known: torch.Tensor, new: torch.Tensor, most_known: int, most_new: int, dtype: torch.dtype
) -> torch.Tensor:
    """(B, 1, N, C + N), -inf where a token does not see a column: it sees its prompt up to itself. Padding
    sees itself, as a row that sees nothing would be NaN."""
    at = torch.arange(most_new, device=new.device)
    is_known = torch.arange(most_known, device=new.device) >= most_known - known[:, None]  # (B, C)
    is_new = at >= most_new - new[:, None]  # (B, N)
    earlier = is_new[:, None, :] & (at[None, :, None] >= at)  # (B, N, N)
    itself = (at[:, None] == at)[None]
    seen = torch.cat([is_known[:, None].expand(-1, most_new, -1), earlier | itself], dim=-1)
    mask = torch.zeros(seen.shape, dtype=dtype, device=new.device)
    return mask.masked_fill_(~seen, -torch.inf)[:, None]
