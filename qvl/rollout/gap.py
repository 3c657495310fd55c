"""Whether what was sampled is what is trained: log-probs by the engine against those by the trainer.

Both are of softmax(logits) with the same weights, so they differ by arithmetic alone: by 1e-5 nats per
token in fp32, and in bf16 by 0.01 to 0.03 as users of other projects report. More means that the two
read another prompt, image or position, or have other weights.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from qvl.errors import CheckFailed
from qvl.pack import token_classes

MAX_GAP = {"fp32": 1e-3, "bf16": 0.05}  # mean nats per token: our choice


class Token(NamedTuple):
    """A token at which the two differ."""

    gap: float
    record: str
    """Id of the record, and the number of its response."""
    place: int
    """Among the tokens that the response sampled, from 0."""
    token: int
    engine: float
    trainer: float

    def __str__(self) -> str:
        return (
            f"{self.record}, token {self.place} (id {self.token}): {self.engine:.4f} by the engine, "
            f"{self.trainer:.4f} by the trainer"
        )


@dataclass
class Gap:
    """The differences of some responses, by class of token (qvl.pack.token_classes)."""

    tokens: dict[str, int] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    """Of the absolute differences, in nats."""
    worst: Token | None = None

    def add(
        self,
        record: str,
        ids: Sequence[int],
        sampled: Sequence[int],
        engine: Sequence[float],
        trainer: Sequence[float],
        special: dict[int, str],
    ) -> None:
        """Compare tokens of a sequence. sampled: their places in it."""
        names = token_classes.classes(ids, special)
        for number, (place, one, other) in enumerate(zip(sampled, engine, trainer, strict=True)):
            name, gap = names[place - 1], abs(one - other)
            self.tokens[name] = self.tokens.get(name, 0) + 1
            self.sums[name] = self.sums.get(name, 0.0) + gap
            if _is_worse(gap, self.worst):
                self.worst = Token(gap, record, number, ids[place], one, other)

    def merge(self, others: Iterable["Gap"]) -> None:
        for other in others:
            for name, count in other.tokens.items():
                self.tokens[name] = self.tokens.get(name, 0) + count
                self.sums[name] = self.sums.get(name, 0.0) + other.sums[name]
            if other.worst and _is_worse(other.worst.gap, self.worst):
                self.worst = other.worst

    @property
    def mean(self) -> float:
        return sum(self.sums.values()) / max(sum(self.tokens.values()), 1)

    def figures(self) -> dict[str, float]:
        """`gap`, the mean, and its largest; by class, where there are several."""
        found = {"gap": self.mean, "gap_max": self.worst.gap if self.worst else 0.0}
        if len(self.tokens) > 1:
            found |= {
                f"gap/{name}": self.sums[name] / self.tokens[name] for name in sorted(self.tokens)
            }
        return {name: float(f"{value:.4g}") for name, value in found.items()}

    def check(self, limit: float, step: int) -> None:
        """CheckFailed if the mean exceeds the limit."""
        if not self.mean <= limit:
            raise CheckFailed(
                f"step {step}: engine and trainer differ by {self.mean:.3g} nats per token, over "
                f"--max-gap {limit:g}; the worst: {self.worst}. qvl parity says which of the two is wrong"
            )


def _is_worse(gap: float, worst: Token | None) -> bool:
    """Whether a gap is larger; NaN is the largest."""
    return worst is None or (not math.isnan(worst.gap) and not gap <= worst.gap)
