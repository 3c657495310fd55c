"""Logits to tokens, each row by its own parameters.

A row's random numbers depend only on its seed and its step, never on the other rows, so a seeded request
gets the same completion alone and in a batch, up to the rounding of logits: in fp32 a token differs now
and then, in fp64 none did (tests/engines/test_engine_kills.py).

Shapes: B rows, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class RowSampling:
    """How one row is sampled."""

    temperature: float = 1.0
    """0 takes the most likely token"""
    top_k: int = 0
    """0 keeps all tokens"""
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0


def uniform(seeds: Sequence[int], steps: Sequence[int]) -> np.ndarray:
    """A number in [0, 1) from each seed and step: SplitMix64 (Steele, Lea, Flood 2014), twice."""
    mixed = _mix(np.array([seed & _MASK for seed in seeds], dtype=np.uint64))
    return (_mix(mixed ^ np.array(steps, dtype=np.uint64)) >> 11) * 2.0**-53


def derive_seed(seed: int, index: int) -> int:
    """The seed of sample `index` of a request."""
    return _mix(_mix(seed & _MASK) + index)


def _mix(value: Any) -> Any:
    """Of an integer of 64 bits, or of an array of them."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def sample(logits: torch.Tensor, rows: list[RowSampling], steps: list[int]) -> torch.Tensor:
    """The next token of each row; logits (B, V), with -inf where a token is banned -> (B,)"""
    greedy = [i for i, row in enumerate(rows) if row.temperature <= 0]
    if len(greedy) == len(rows):
        return logits.argmax(-1)
    draws = torch.from_numpy(uniform([row.seed for row in rows], steps)).to(logits.device)
    temperatures = [row.temperature if row.temperature > 0 else 1.0 for row in rows]
    scaled = logits / torch.tensor(temperatures, device=logits.device)[:, None]
    # Sorting changes which token a random number selects, so it depends on the row's own parameters.
    truncated = [i for i, row in enumerate(rows) if row.top_k > 0 or row.top_p < 1]
    if len(truncated) == len(rows):
        tokens = _sample_truncated(scaled, rows, draws)
    else:
        tokens = _inverse_cdf(scaled.softmax(-1), draws)
        if truncated:
            tokens[truncated] = _sample_truncated(
                scaled[truncated], [rows[i] for i in truncated], draws[truncated]
            )
    if greedy:
        tokens[greedy] = logits[greedy].argmax(-1)
    return tokens


def _sample_truncated(
    scaled: torch.Tensor, rows: list[RowSampling], draws: torch.Tensor
) -> torch.Tensor:
    """Sample from the top k tokens, and of these from the most likely that together reach top p."""
    vocabulary = scaled.shape[-1]
    limits = [min(row.top_k or vocabulary, vocabulary) for row in rows]
    values, order = scaled.topk(max(limits), dim=-1)  # (B, K), descending
    rank = torch.arange(values.shape[-1], device=scaled.device)
    values = values.masked_fill(
        rank >= torch.tensor(limits, device=scaled.device)[:, None], -torch.inf
    )
    probabilities = values.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    top_p = torch.tensor([row.top_p for row in rows], device=scaled.device)[:, None]
    probabilities = probabilities.masked_fill((before >= top_p) & (rank > 0), 0.0)
    return order.gather(-1, _inverse_cdf(probabilities, draws)[:, None])[:, 0]


def _inverse_cdf(weights: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """The first index whose cumulative weight exceeds the draw; weights (B, K) >= 0 -> (B,)"""
    cumulative = weights.double().cumsum(-1)
    target = draws[:, None] * cumulative[:, -1:]
    index = torch.searchsorted(cumulative, target, right=True)[:, 0]
    return index.clamp(max=weights.shape[-1] - 1)


def penalise(
    logits: torch.Tensor, rows: list[RowSampling], generated: list[list[int]]
) -> torch.Tensor:
    """Subtract presence and frequency penalties of each row's own tokens, as OpenAI defines them."""
    for i, row in enumerate(rows):
        if row.presence_penalty or row.frequency_penalty:
            tokens, counts = torch.tensor(generated[i], dtype=torch.long).unique(return_counts=True)
            penalty = row.presence_penalty + row.frequency_penalty * counts
            logits[i, tokens.to(logits.device)] -= penalty.to(logits.device)
    return logits
