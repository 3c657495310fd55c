"""One decoding step: one token per row goes through the language model.

transformers' own forward is used for prompts. For one token per row it spends most of its time outside
the arithmetic, so here the weights of its modules are applied in the same order. They are read from the
modules at each step, so no copy is left behind when they change. Mixtures of experts, and the norms of
a half-precision model, go through the modules themselves.

Shapes: B rows, E embedding, K key-value heads, G query heads per key-value head, D head dimension, W
columns of the cache, the new one included.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import linear, rms_norm


def step(
    model: Any,
    layers: Sequence[Any],
    tokens: torch.Tensor,
    positions: torch.Tensor,
    mask: torch.Tensor,
) -> torch.Tensor:
    """The logits (B, V) after `tokens` (B,) at `positions` (B,).

    layers: of the cache; the keys and values are added to them. mask: (B, 1, 1, W) in the model's
    dtype, -inf where a row has no key and 0 elsewhere.
    """
    text = model.model.language_model
    hidden = text.embed_tokens(tokens)[:, None]  # (B, 1, E)
    axes = positions[None, :, None].expand(3, -1, 1)  # of text: time, height and width are equal
    cos, sin = (each[:, None] for each in text.rotary_emb(hidden, axes))  # (B, 1, 1, D)
    for layer, cache in zip(text.layers, layers, strict=True):
        normed = _norm(layer.input_layernorm, hidden)
        hidden = hidden + _attend(layer.self_attn, normed, cos, sin, cache, mask)
        hidden = hidden + layer.mlp(_norm(layer.post_attention_layernorm, hidden))
    return _project(model.lm_head, _norm(text.norm, hidden))[:, 0]


def _attend(
    attention: Any,
    hidden: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    cache: Any,
    mask: torch.Tensor,
) -> torch.Tensor:
    heads = (len(hidden), -1, 1, attention.head_dim)
    query = _norm(attention.q_norm, _project(attention.q_proj, hidden).view(heads))
    key = _norm(attention.k_norm, _project(attention.k_proj, hidden).view(heads))
    value = _project(attention.v_proj, hidden).view(heads)
    query, key = _rotated(query, cos, sin), _rotated(key, cos, sin)
    keys, values = cache.update(key, value)  # (B, K, W, D)
    grouped = query.view(len(hidden), keys.shape[1], -1, attention.head_dim)  # (B, K, G, D)
    scores = (grouped * attention.scaling) @ keys.transpose(-1, -2)  # (B, K, G, W)
    scores += mask
    precise = torch.promote_types(scores.dtype, torch.float32)
    seen = scores.softmax(-1, dtype=precise).to(values.dtype) @ values  # (B, K, G, D)
    return _project(attention.o_proj, seen.reshape(len(hidden), 1, -1))


def _norm(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    if hidden.dtype in (torch.float32, torch.float64):
        return rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)
    return norm(hidden)


def _project(layer: Any, hidden: torch.Tensor) -> torch.Tensor:
    return linear(hidden, layer.weight, layer.bias)


def _rotated(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of states (B, heads, 1, D)."""
    first, second = states.chunk(2, dim=-1)
    return states * cos + torch.cat((-second, first), dim=-1) * sin
