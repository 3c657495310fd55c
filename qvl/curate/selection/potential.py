"""How much each source can still teach a model, and which ones reinforcement learning can leave out.

Qwen3-VL ran "preliminary RL experiments per task to identify and remove data sources with limited
potential for improvement" (report 4.4.1); it publishes neither measure nor threshold. Here:

- of a preliminary run, the gain: by how much the mean reward rose from the first step to the last, on a
  line fitted to the steps (weighted by their responses), with the 95 % interval of the line;
- of samples alone, the mixed share: of queries from whose responses some pass and some do not. Where all
  rewards of a group are equal its advantages are 0, and it teaches nothing (DAPO, arXiv 2503.14476,
  section 3.2). The interval is Wilson's over queries. Beside it stands the spread, the mean of p (1 - p),
  without bias: of k that pass among m, k (m - k) / (m (m - 1)).

A source is dropped if even the upper end of its interval is below the threshold, as dropping is costly.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from qvl.curate.selection.difficulty import Difficulty
from qvl.errors import UserError
from qvl.intervals import student, wilson
from qvl.io import jsonl

MIN_MIXED = 0.1  # of a source's queries; our choice
MIN_GAIN = 0.02  # of its mean reward; our choice
VERDICTS = ("keep", "unsure", "drop")
FEWEST_STEPS = 5  # to estimate the error of a fitted line


class Potential(NamedTuple):
    """The potential of a source, the ends of its 95 % interval, and the counts behind it."""

    value: float
    low: float
    high: float
    facts: dict[str, float]

    def verdict(self, least: float) -> str:
        """ "keep" from the threshold on; under it "drop", or "unsure" where the interval reaches it."""
        return "keep" if self.value >= least else "drop" if self.high < least else "unsure"


class PassRates:
    """The mixed share of each source, of records with verified responses."""

    measure = "mixed"
    threshold = MIN_MIXED

    def __init__(self, pass_reward: float) -> None:
        self._rules = Difficulty(pass_reward=pass_reward)
        self._sources: dict[str, _Counts] = {}
        self.passed_over = 0
        """records with no source, or fewer than two responses with a reward: one cannot disagree"""

    def add(self, record: dict, place: str) -> None:
        measured, source = self._rules.measure(record), record.get("source")
        if measured["judged"] < 2 or not isinstance(source, str) or not source:
            self.passed_over += 1
        else:
            self._sources.setdefault(source, _Counts()).add(measured)

    def potentials(self) -> dict[str, Potential]:
        return {source: counts.potential() for source, counts in self._sources.items()}


@dataclass
class _Counts:
    queries: int = 0
    responses: int = 0
    mixed: int = 0
    rates: float = 0.0
    spread: float = 0.0

    def add(self, measured: dict[str, float]) -> None:
        passed, judged = measured["passed"], measured["judged"]
        self.queries += 1
        self.responses += int(judged)
        self.mixed += 0 < passed < judged
        self.rates += passed / judged
        self.spread += passed * (judged - passed) / (judged * (judged - 1))

    def potential(self) -> Potential:
        low, high = wilson(self.mixed / self.queries, self.queries)
        means = {"pass_rate": self.rates / self.queries, "spread": self.spread / self.queries}
        facts = {"queries": self.queries, "responses": self.responses}
        return Potential(self.mixed / self.queries, low, high, {**facts, **means})


class LogStep(NamedTuple):
    """The rewards of a source in one step of a run: mean and number of responses."""

    number: int
    reward: float
    count: int


class RewardLog:
    """The gain of each source, of a run's log: JSON lines with "step", an integer, and "sources",
    {NAME: {"reward": mean, "count": responses}}. Other fields and lines without sources are passed
    over; of a step that comes twice, as after a resumption, the last line holds."""

    measure = "gain"
    threshold = MIN_GAIN

    def __init__(self) -> None:
        self._sources: dict[str, dict[int, LogStep]] = {}
        self.passed_over = 0
        """lines without sources"""

    def add(self, row: dict, place: str) -> None:
        """UserError where the line has sources and is no step."""
        if "sources" not in row:
            self.passed_over += 1
            return
        number, sources = row.get("step"), row["sources"]
        if type(number) is not int or not isinstance(sources, dict):
            raise UserError(f'{place}: expected "step", an integer, and "sources", an object')
        for name, of in sources.items():
            reward: Any = of.get("reward") if isinstance(of, dict) else None
            count: Any = of.get("count") if isinstance(of, dict) else None
            if type(reward) not in (int, float) or type(count) is not int or count < 1:
                raise UserError(
                    f'{place}: sources.{name}: expected "reward", a number, and "count", over 0'
                )
            self._sources.setdefault(name, {})[number] = LogStep(number, float(reward), count)

    def potentials(self) -> dict[str, Potential]:
        return {
            name: gain([steps[number] for number in sorted(steps)])
            for name, steps in self._sources.items()
        }


def gain(steps: list[LogStep]) -> Potential:
    """By how much the mean reward rose over the steps, which are in order.

    With fewer than 5 steps the interval is unknown: all that a mean of rewards from 0 to 1 can change."""
    count = sum(step.count for step in steps)
    facts: dict[str, float] = {"steps": len(steps), "responses": count}
    if len(steps) < FEWEST_STEPS:
        return Potential(steps[-1].reward - steps[0].reward, -1.0, 1.0, facts)
    middle = sum(step.count * step.number for step in steps) / count
    mean = sum(step.count * step.reward for step in steps) / count
    away = [step.number - middle for step in steps]
    width = sum(step.count * x * x for step, x in zip(steps, away, strict=True))
    pull = sum(step.count * x * step.reward for step, x in zip(steps, away, strict=True))
    slope = pull / width
    missed = [step.reward - mean - slope * x for step, x in zip(steps, away, strict=True)]
    residual = sum(step.count * e * e for step, e in zip(steps, missed, strict=True))
    freedom = len(steps) - 2
    error = student(freedom) * math.sqrt(residual / freedom / width)
    length = steps[-1].number - steps[0].number
    first = mean + slope * away[0]
    facts |= {"first": first, "last": first + slope * length}
    return Potential(slope * length, (slope - error) * length, (slope + error) * length, facts)


def report(potentials: Mapping[str, Potential], measure: str, least: float) -> list[dict[str, Any]]:
    """One record per source, the least potential first."""
    rows = []
    for source, of in sorted(potentials.items(), key=lambda item: (item[1].value, item[0])):
        numbers = {"potential": of.value, "low": of.low, "high": of.high, "threshold": least}
        rounded = {name: round(number, 4) for name, number in (numbers | of.facts).items()}
        names = {"id": source, "source": source, "measure": measure}
        rows.append({**names, "verdict": of.verdict(least), **rounded})
    return rows


def dropped(reader: jsonl.Reader) -> frozenset[str]:
    """The sources that a report drops. UserError if it is not such a report."""
    found = []
    for row in reader:
        if not isinstance(row.get("source"), str) or row.get("verdict") not in VERDICTS:
            raise UserError(
                f"{reader.place}: no source with a verdict ({', '.join(VERDICTS)}); "
                "'qvl rl potential' writes such reports"
            )
        if row["verdict"] == "drop":
            found.append(row["source"])
    return frozenset(found)
