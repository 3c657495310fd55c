"""A watch over the loss: which step must not be taken, and which records made it so."""

import math
from collections import deque
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

WINDOW = 32  # steps whose median is what is usual: our choice
NAMED = 8  # records that a message names


class Suspect(NamedTuple):
    """A record of a bad step and the mean cross-entropy of its learnt tokens, in nats."""

    record: str
    loss: float

    def __str__(self) -> str:
        return f"{self.record} ({self.loss:.4g})"


class Guard:
    """Objects to losses that are not finite, or more than `jump` nats above what is usual.

    jump: 0 lets any finite loss pass.
    """

    def __init__(self, jump: float) -> None:
        self.jump = jump
        self._recent: deque[float] = deque(maxlen=WINDOW)

    def objection(self, loss: float, *, sound: bool) -> str | None:
        """Why a step of this loss must not be taken. `sound`: every gradient is finite."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not sound:
            return "a gradient is not finite"
        usual = median(self._recent) if self._recent else loss
        # The first steps have no past to be compared with.
        if self.jump and len(self._recent) == WINDOW and loss > usual + self.jump:
            return f"the loss is {loss:.4g}, where {usual:.4g} is the median of the last {WINDOW}"
        self._recent.append(loss)
        return None

    def state(self) -> list[float]:
        return list(self._recent)

    def restore(self, state: Iterable[float]) -> None:
        self._recent.extend(state)


def worst(found: Iterable[tuple[str, float, int]]) -> list[Suspect]:
    """Parts of records (id, sum of cross-entropies, tokens) -> the records, the likeliest first:
    those without a finite loss, then by their loss. A record cut over ranks comes in several parts.
    """
    sums: dict[str, tuple[float, int]] = {}
    for name, loss, count in found:
        before = sums.get(name, (0.0, 0))
        sums[name] = before[0] + loss, before[1] + count
    suspects = [Suspect(name, loss / count) for name, (loss, count) in sums.items() if count]
    return sorted(suspects, key=lambda each: (math.isfinite(each.loss), -each.loss, each.record))
