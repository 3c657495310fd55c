"""Counts and sizes of a stream, in one pass and in bounded memory."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from qvl.record import sizes, turns
from qvl.streams.mix import label

MAX_VALUES = 10_000  # of a field that are counted separately; later ones are counted together
OTHERS = "(others)"
MISSING = "(none)"
SHOWN = 20  # values of a field in the table
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
ERROR = 0.01  # of a quantile, relative
BATCH = 4096  # numbers that are counted together
MAX_SKETCHES = 100


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
        self.fold()
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
        self._waiting: dict[str, list[str]] = {
            name: [] for name in groups
        }  # values, not counted yet
        # Of media(), which is known from counting the media, the key is None.
        self._keys = [
            (None if name == "media()" else key, self._waiting[name].append)
            for name, key in groups.items()
        ]
        self._pending = 0  # records and turns, since `_fold`
        self._size = self._sketch("bytes of JSON").append
        self._turns = self._sketch("turns a record").append
        self._characters: dict[Any, Callable[[float], None]] = {}  # by role

    def add(self, record: dict, size: int) -> None:
        """`size`: bytes of the record's line."""
        self.records += 1
        self._size(size)
        for field in ("answer", "tools", "scores"):
            if field in record and record[field] not in (None, [], {}):
                self.having[field] += 1
        shown = self._add_turns(record)
        for key, append in self._keys:
            value = shown if key is None else key(record)
            append(value if type(value) is str else MISSING if value is None else label(value))
        if "responses" in record:
            self._add_responses(record)
        if self._pending >= BATCH:
            self._fold()

    def facts(self) -> dict[str, Any]:
        """All counts and sizes, as --json prints them."""
        self._fold()
        sketches = {name: sketch.facts() for name, sketch in sorted(self.sketches.items())}
        return {
            "records": self.records,
            "having": dict(self.having),
            "by": {name: dict(values.most_common()) for name, values in self.values.items()},
            "sizes": {name: facts for name, facts in sketches.items() if facts["count"]},
        }

    def _add_turns(self, record: dict) -> str:
        """Count the turns and the media; return the record's media_kind."""
        messages = turns(record)
        self._turns(len(messages))
        self._pending += 1 + len(messages)
        reasoned, images, videos = False, 0, 0
        for message in messages:
            content = message.get("content")
            if type(content) is str:
                characters = len(content)
            else:
                characters, more_images, more_videos = sizes(message)
                images += more_images
                videos += more_videos
            role = message.get("role")
            try:
                self._characters[role](characters)
            except (KeyError, TypeError):  # a role not seen before, or one that is no string
                self._add_characters(role, characters)
            if "reasoning_content" in message:
                reasoning = message["reasoning_content"]
                if isinstance(reasoning, str) and reasoning:
                    reasoned = True
                    self._add("characters of reasoning", len(reasoning))
        self.having["reasoning"] += reasoned
        if images:
            self.having["images"] += 1
            self._add("images a record", images)
        if videos:
            self.having["videos"] += 1
            self._add("videos a record", videos)
            return "image+video" if images else "video"
        return "image" if images else "text"

    def _add_characters(self, role: Any, count: int) -> None:
        sketch = self._sketch(f"characters a turn, {role}")
        sketch.append(count)
        if isinstance(role, str) and len(self._characters) < MAX_SKETCHES:
            self._characters[role] = sketch.append

    def _add_responses(self, record: dict) -> None:
        responses = record.get("responses")
        if not isinstance(responses, list) or not responses:
            return
        self.having["responses"] += 1
        self._add("responses a record", len(responses))
        for response in responses:
            reward = response.get("reward") if isinstance(response, dict) else None
            if isinstance(reward, int | float) and reward >= 0:
                self._add("reward of a response", reward)

    def _add(self, name: str, value: float) -> None:
        self._sketch(name).add(value)

    def _sketch(self, name: str) -> Sketch:
        # Roles come from the data: a stream of odd ones must not take up memory without end.
        if name not in self.sketches and len(self.sketches) >= MAX_SKETCHES:
            return Sketch()
        return self.sketches.setdefault(name, Sketch())

    def _fold(self) -> None:
        self._pending = 0
        for name, waiting in self._waiting.items():
            values = self.values[name]
            for value, count in Counter(waiting).items():
                known = value in values or len(values) < MAX_VALUES
                values[value if known else OTHERS] += count
            waiting.clear()
        for sketch in self.sketches.values():
            sketch.fold()


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
    for name, sketch in facts["sizes"].items():
        lines.append(_fit(name) + "".join(f"{_short(sketch[column]):>12}" for column in columns))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _share(name: str, count: int, total: int) -> str:
    return _fit(name) + f"{count:>12,}{100 * count / max(total, 1):>11.1f}%"


def _fit(name: str) -> str:
    """The name in 34 columns, with control characters replaced."""
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    return f"{name if len(name) < 34 else name[:30] + '...':<34}"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) or number >= 100 else f"{number:.2f}"
