"""Quantiles and histograms of numbers, in one pass and in bounded memory."""

import math
from collections import Counter
from typing import Any

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
ERROR = 0.01  # of a quantile, relative
BATCH = 4096  # numbers that are counted together
MOST_BARS = 12  # of a histogram
WIDE = 50  # times the least number: from there on the edges of a histogram are 1, 2, 5, 10, 20, ...


class Sketch:
    """Quantiles of numbers from 0 up, right within 1 %, from a histogram with logarithmic bins.

    The bins of DDSketch (arXiv 1908.10693): a few hundred, whatever is added and in what order.
    """

    _BASE = math.log((1 + ERROR) / (1 - ERROR))

    def __init__(self) -> None:
        self.count, self.total, self.most = 0, 0.0, 0.0
        self.whole = True  # so far, whole numbers only; below 50 the quantiles are then exact
        self._bins: Counter[int | None] = Counter()
        self._waiting: list[float] = []  # numbers not counted yet
        self.append = self._waiting.append
        """Add a number; `fold` counts it. Call that before many are waiting."""

    def add(self, value: float) -> None:
        self.append(value)
        if len(self._waiting) >= BATCH:
            self.fold()

    def fold(self) -> None:
        """Count what is waiting: equal numbers at once, so that a number costs no logarithm."""
        if not self._waiting:
            return
        counts = Counter(self._waiting)
        self.count += len(self._waiting)
        self.total += sum(self._waiting)
        self.most = max(self.most, max(counts))
        self._waiting.clear()
        self.whole = self.whole and all(value == int(value) for value in counts)
        for value, count in counts.items():
            self._bins[math.ceil(math.log(value) / self._BASE) if value > 0 else None] += count

    def quantile(self, share: float) -> float:
        """The smallest number that at least `share` of all do not exceed."""
        self.fold()
        left = math.ceil(share * self.count)
        for value, count in self._values():
            left -= count
            if left <= 0:
                return value
        return 0.0

    def facts(self) -> dict[str, float]:
        self.fold()
        mean = self.total / self.count if self.count else 0.0
        quantiles = {name: round(self.quantile(share), 3) for name, share in QUANTILES.items()}
        return {"count": self.count, "mean": round(mean, 3), **quantiles, "max": self.most}

    def histogram(self) -> list[list[Any]]:
        """[low, high, count] of up to MOST_BARS bars: numbers from `low` to below `high`, the last one
        included. An edge is right within 1 %."""
        self.fold()
        values = self._values()
        if not values:
            return []
        edges = _edges(values[0][0], max(self.most, values[-1][0]), whole=self.whole)
        counts = [0] * (len(edges) - 1)
        place = 0
        for value, count in values:
            while place + 2 < len(edges) and value >= edges[place + 1]:
                place += 1
            counts[place] += count
        return [list(bar) for bar in zip(edges, edges[1:], counts, strict=False)]

    def _values(self) -> list[tuple[float, int]]:
        """(number, count) of each bin, in order."""
        found = []
        for place in sorted(self._bins, key=lambda place: -math.inf if place is None else place):
            value = 0.0
            if place is not None:
                middle = 2 * math.exp(place * self._BASE) / (1 + math.exp(self._BASE))
                value = min(round(middle) if self.whole else middle, self.most)
            found.append((value, self._bins[place]))
        return found


def _edges(low: float, high: float, *, whole: bool) -> list[float]:
    """Round edges of bars from `low` to `high`: at equal distances, or 1, 2, 5, 10, ... where far apart."""
    if high > WIDE * max(low, 1e-9) and high > 20:
        edges, size = [0.0], 1.0
        while edges[-1] <= high:
            edges += [size, 2 * size, 5 * size]
            size *= 10
        first = max(place for place, edge in enumerate(edges) if edge <= low)
        last = next(place for place, edge in enumerate(edges) if edge > high)
        edges = edges[first : last + 1]
        if len(edges) - 1 > MOST_BARS:  # the small ones together
            edges = [edges[0], *edges[-MOST_BARS:]]
        return edges
    span = high - low
    if span <= 0:
        return [low, low + 1] if whole else [low, low]
    size = max(10 ** math.floor(math.log10(span / MOST_BARS)), 1 if whole else 0)
    step = next(
        size * factor for factor in (1, 2, 5, 10, 20) if span / (size * factor) <= MOST_BARS - 1
    )
    first = math.floor(low / step + 1e-9)
    last = math.floor(high / step) + 1 if whole else math.ceil(high / step - 1e-9)
    return [round(number * step, 9) for number in range(first, max(last, first + 1) + 1)]
