"""Counts and sizes of a stream, in one pass and in bounded memory."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from qvl.record import images, text, turns, videos
from qvl.streams.mix import label

MAX_VALUES = 10_000  # of a field that are counted separately; later ones are counted together
OTHERS = "(others)"
MISSING = "(none)"
SHOWN = 20  # values of a field in the table
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
ERROR = 0.01  # of a quantile, relative


class Sketch:
    """Quantiles of numbers from 0 up, right within 1 %, from a histogram with logarithmic bins.

    The bins of DDSketch (arXiv 1908.10693): a few hundred, whatever is added and in what order.
    """

    _BASE = math.log((1 + ERROR) / (1 - ERROR))

    def __init__(self) -> None:
        self.count, self.total, self.most = 0, 0.0, 0.0
        self.whole = True  # so far, whole numbers only; below 50 the quantiles are then exact
        self._bins: Counter[int | None] = Counter()

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.most = max(self.most, value)
        self.whole = self.whole and value == int(value)
        self._bins[math.ceil(math.log(value) / self._BASE) if value > 0 else None] += 1

    def quantile(self, share: float) -> float:
        """The smallest number that at least `share` of all do not exceed."""
        left = math.ceil(share * self.count)
        for place in sorted(self._bins, key=lambda place: -math.inf if place is None else place):
            left -= self._bins[place]
            if left <= 0:
                break
        else:
            return 0.0
        if place is None:
            return 0.0
        middle = 2 * math.exp(place * self._BASE) / (1 + math.exp(self._BASE))
        return min(round(middle) if self.whole else middle, self.most)

    def facts(self) -> dict[str, float]:
        mean = self.total / self.count if self.count else 0.0
        quantiles = {name: round(self.quantile(share), 3) for name, share in QUANTILES.items()}
        return {"count": self.count, "mean": round(mean, 3), **quantiles, "max": self.most}


class Stats:
    """Counts the records that are added; `facts` returns the counts."""

    def __init__(self, groups: dict[str, Callable[[dict], Any]]) -> None:
        """`groups`: name -> the value by which records are counted."""
        self.records = 0
        self.groups = groups
        self.values: dict[str, Counter[str]] = {name: Counter() for name in groups}
        self.having: Counter[str] = Counter()
        self.sketches: dict[str, Sketch] = {}

    def add(self, record: dict, size: int) -> None:
        """`size`: bytes of the record's line."""
        self.records += 1
        for name, key in self.groups.items():
            value = key(record)
            text = MISSING if value is None else label(value)
            values = self.values[name]
            values[text if text in values or len(values) < MAX_VALUES else OTHERS] += 1
        self._sketch("bytes of JSON", size)
        for field in ("answer", "tools", "scores"):
            if record.get(field) not in (None, [], {}):
                self.having[field] += 1
        self._add_turns(record)
        for kind, found in (("images", images(record)), ("videos", videos(record))):
            if found:
                self.having[kind] += 1
                self._sketch(f"{kind} a record", len(found))
        self._add_responses(record)

    def facts(self) -> dict[str, Any]:
        """All counts and sizes, as --json prints them."""
        return {
            "records": self.records,
            "having": dict(self.having),
            "by": {name: dict(values.most_common()) for name, values in self.values.items()},
            "sizes": {name: sketch.facts() for name, sketch in sorted(self.sketches.items())},
        }

    def _add_turns(self, record: dict) -> None:
        messages = turns(record)
        self._sketch("turns a record", len(messages))
        reasoned = False
        for message in messages:
            self._sketch(f"characters a turn, {message.get('role')}", len(text(message)))
            reasoning = message.get("reasoning_content")
            if isinstance(reasoning, str) and reasoning:
                reasoned = True
                self._sketch("characters of reasoning", len(reasoning))
        self.having["reasoning"] += reasoned

    def _add_responses(self, record: dict) -> None:
        responses = record.get("responses")
        if not isinstance(responses, list) or not responses:
            return
        self.having["responses"] += 1
        self._sketch("responses a record", len(responses))
        for response in responses:
            reward = response.get("reward") if isinstance(response, dict) else None
            if isinstance(reward, int | float) and reward >= 0:
                self._sketch("reward of a response", reward)

    def _sketch(self, name: str, value: float) -> None:
        # Roles come from the data: a stream of odd ones must not take up memory without end.
        if name not in self.sketches and len(self.sketches) >= 100:
            return
        self.sketches.setdefault(name, Sketch()).add(value)


def table(facts: dict[str, Any]) -> str:
    """The facts as a table in plain text."""
    total = facts["records"]
    lines = [f"{'records':<34}{total:>12,}"]
    lines += [
        _share(f"with {name}", count, total) for name, count in facts["having"].items() if count
    ]
    for name, values in facts["by"].items():
        lines += ["", f"by {name}" + (f" ({len(values):,} values)" if len(values) > SHOWN else "")]
        shown = list(values.items())[:SHOWN]
        lines += [_share(f"  {value}", count, total) for value, count in shown]
        rest = sum(values.values()) - sum(count for _, count in shown)
        if rest:
            lines.append(_share(f"  {len(values) - SHOWN:,} more", rest, total))
    columns = ["count", "mean", *QUANTILES, "max"]
    lines += ["", f"{'':<34}" + "".join(f"{column:>12}" for column in columns)]
    for name, sizes in facts["sizes"].items():
        lines.append(_fit(name) + "".join(f"{_short(sizes[column]):>12}" for column in columns))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _share(name: str, count: int, total: int) -> str:
    return _fit(name) + f"{count:>12,}{100 * count / max(total, 1):>11.1f}%"


def _fit(name: str) -> str:
    """The name in 34 columns, with control characters replaced."""
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    return f"{name if len(name) < 34 else name[:30] + '...':<34}"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) or number >= 100 else f"{number:.2f}"
