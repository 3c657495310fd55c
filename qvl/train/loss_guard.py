"""A watch over a metric of the loss: which step must not be taken, and which records are to blame."""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from statistics import median
from typing import NamedTuple

WINDOW = 32  # steps whose median is what is usual: our choice
NAMED = 8  # records that a message names


class Suspect(NamedTuple):
    """A record of a rejected step, and the mean over its target tokens of the metric to blame."""

    record: str
    value: float

    def __str__(self) -> str:
        return f"{self.record} ({self.value:.4g})"


class LossGuard:
    """Rejects steps whose loss or gradient is not finite, or whose `metric` is more than `max_jump`
    above its median over the last steps.

    metric: the loss, or a scalar that the loss reports. max_jump: 0 accepts any finite value.
    """

    def __init__(self, max_jump: float, metric: str = "loss") -> None:
        self.max_jump, self.metric = max_jump, metric
        self._recent: deque[float] = deque(maxlen=WINDOW)

    def check(self, metrics: Mapping[str, float], *, finite_gradients: bool) -> str | None:
        """Why a step with these metrics is rejected; None where it is accepted."""
        for name in dict.fromkeys(("loss", self.metric)):
            if not math.isfinite(metrics[name]):
                return f"the {_words(name)} is {metrics[name]}"
        if not finite_gradients:
            return "a gradient is not finite"
        value = metrics[self.metric]
        usual = median(self._recent) if self._recent else value
        # The first steps have no past to be compared with.
        if self.max_jump and len(self._recent) == WINDOW and value > usual + self.max_jump:
            return (
                f"the {_words(self.metric)} is {value:.4g}, where {usual:.4g} is the median of the "
                f"last {WINDOW}"
            )
        self._recent.append(value)
        return None

    def forget(self) -> None:
        """Start anew: what comes next is other data, for which the past says nothing."""
        self._recent.clear()

    def state(self) -> list[float]:
        """The values that it remembers, for `restore`."""
        return list(self._recent)

    def restore(self, state: Iterable[float]) -> None:
        """Remember the values of an interrupted run."""
        self._recent.extend(state)


def _words(name: str) -> str:
    return name.replace("_", " ")


def worst(found: Iterable[tuple[str, float, int]]) -> list[Suspect]:
    """Parts of records (id, sum of a metric, target tokens) -> the records by the metric's mean,
    those without a finite one first, then the largest. A record whose tokens several ranks have
    comes in several parts.
    """
    sums: dict[str, tuple[float, int]] = {}
    for name, value, count in found:
        before = sums.get(name, (0.0, 0))
        sums[name] = before[0] + value, before[1] + count
    suspects = [Suspect(name, value / count) for name, (value, count) in sums.items() if count]
    return sorted(suspects, key=lambda each: (math.isfinite(each.value), -each.value, each.record))
