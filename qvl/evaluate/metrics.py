"""The figures of a set by group: accuracy with its interval, that of guessing, tokens, and penalties."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from qvl.errors import UserError
from qvl.evaluate import catalog
from qvl.evaluate.benchmark import Benchmark
from qvl.evaluate.measures import MEASURES, Measure
from qvl.intervals import wilson
from qvl.reward import RIGHT
from qvl.reward.penalties import find, penalised_share
from qvl.reward.verdict import judge

GUESSES = 10  # of a group's commonest answers, tried as the one guess for all
ALL = "all"


@dataclass
class Group:
    """The counts of one group."""

    records: int = 0
    samples: int = 0
    shares: float = 0.0  # sum over records of the share of its samples that are right
    rewards: float = 0.0
    tokens: int = 0
    counted: int = 0  # samples whose number of tokens is known
    cut: int = 0
    answers: Counter[bytes] = field(default_factory=Counter)  # (task, answer) as JSON -> records
    passes: Counter[int] = field(default_factory=Counter)  # k -> records with k samples or more
    passed: dict[int, float] = field(default_factory=dict)  # k -> sum of their pass@k
    penalised: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Penalty -> sum over records of the share of its samples that it is for."""
    measure: Measure | None = None
    """The metric of the benchmark whose records these are; None for records of none, or of several."""
    benchmark: Benchmark | None = None


class Tally:
    """Counts records as they pass, grouped by one of their fields."""

    def __init__(
        self,
        by: str,
        verifier: str | None = None,
        pass_at: Sequence[int] = (),
        penalties: Sequence[str] = (),
    ) -> None:
        """pass_at: the numbers k of samples of which one is to be right (pass@k).
        penalties: names of penalties whose rates are measured. UserError for an unknown one."""
        self.by, self.verifier, self.pass_at = by, verifier, pass_at
        self.penalties = tuple(penalties)
        for name in self.penalties:
            find(name)
        self.groups: defaultdict[str, Group] = defaultdict(Group)

    def watch(self, records: Iterable[dict]) -> Iterator[dict]:
        for record in records:
            self.add(record)
            yield record

    def add(self, record: dict) -> None:
        """Count a record's responses; one without a verdict is neither right nor wrong."""
        answered = [each for each in record["responses"] if each["reward"] is not None]
        if not answered:
            return
        rewards = [each["reward"] for each in answered]
        group = self.groups[str(record.get(self.by, "-"))]
        group.records += 1
        group.samples += len(answered)
        group.shares += sum(reward >= RIGHT for reward in rewards) / len(rewards)
        group.rewards += sum(rewards) / len(rewards)
        group.cut += sum(each.get("finish_reason") == "length" for each in answered)
        known = [each["num_tokens"] for each in answered if "num_tokens" in each]
        group.tokens += sum(known)
        group.counted += len(known)
        right = sum(reward >= RIGHT for reward in rewards)
        for k in self.pass_at:
            if len(rewards) >= k:
                group.passes[k] += 1
                group.passed[k] = group.passed.get(k, 0.0) + pass_at(k, len(rewards), right)
        for name in self.penalties:
            group.penalised[name] += penalised_share([name], record, answered)
        self._measure(group, record)
        # An answer may be as large as a file of tests; only its verifier's kind of it is kept.
        group.answers[orjson.dumps([record.get("task"), record.get("answer")])] += 1

    def _measure(self, group: Group, record: dict) -> None:
        """Count the record by its benchmark's metric, while all of the group are of one benchmark."""
        found = benchmark_of(record)
        if group.records == 1 and found:
            group.benchmark, group.measure = found, MEASURES[found.metric]()
        if found is not group.benchmark:
            group.benchmark = group.measure = None
        if group.measure:
            group.measure.add(record)

    def rows(self) -> list[dict]:
        """A row per group, by name, and a last one for all together."""
        rows = [self._row(name, group) for name, group in sorted(self.groups.items())]
        if not rows:
            return []
        whole = Group()
        for group in self.groups.values():
            for name in ("records", "samples", "shares", "rewards", "tokens", "counted", "cut"):
                setattr(whole, name, getattr(whole, name) + getattr(group, name))
            for name, share in group.penalised.items():
                whole.penalised[name] += share
        guessing = [row["guessing"] for row in rows]
        together = self._row(ALL, whole)
        weighted = sum(row["accuracy"] * row["records"] for row in rows) / whole.records
        together |= {"accuracy": weighted, "interval": wilson(weighted, whole.records)}
        together["guessing"] = (
            None
            if None in guessing
            else sum(row["guessing"] * row["records"] for row in rows) / whole.records
        )
        return [*rows, together]

    def _row(self, name: str, group: Group) -> dict:
        figures = group.measure.values() if group.measure else {}
        passed = {f"pass@{k}": group.passed[k] / number for k, number in group.passes.items()}
        accuracy = next(iter(figures.values()), group.shares / group.records)
        named = {"metrics": figures | passed} if figures.keys() - {"accuracy"} or passed else {}
        return {
            "group": name,
            "records": group.records,
            "samples": group.samples,
            "accuracy": accuracy,
            # Samples of one record are not independent: the records are what is counted. The precision
            # of a set of boxes is no mean over records.
            "interval": None if "mAP" in figures else wilson(accuracy, group.records),
            **named,
            **({"prompt_hash": group.benchmark.digest} if group.benchmark else {}),
            **({"penalties": self._penalties(group)} if self.penalties else {}),
            "guessing": None if self.verifier else guessing_rate(group.answers),
            "reward": group.rewards / group.records,
            "tokens": group.tokens / group.counted if group.counted else None,
            "cut": group.cut,
        }

    def _penalties(self, group: Group) -> dict[str, dict[str, Any]]:
        shares = {name: group.penalised[name] / group.records for name in self.penalties}
        return {
            name: {"share": share, "interval": wilson(share, group.records)}
            for name, share in shares.items()
        }


def benchmark_of(record: dict) -> Benchmark | None:
    """The built-in benchmark that a record says it is of; None for one that is not built in."""
    name = record.get("benchmark")
    return catalog.load(name) if isinstance(name, str) and name in catalog.names() else None


def pass_at(k: int, samples: int, right: int) -> float:
    """The chance that one of k of the samples is right: 1 - C(n - c, k) / C(n, k).

    The estimator without bias of Chen et al. 2021, arXiv 2107.03374, section 2.1.
    """
    return 1 - math.comb(samples - right, k) / math.comb(samples, k)


def guessing_rate(answers: Counter[bytes]) -> float:
    """The accuracy of the best single answer to every question of a group, tried by its verifier."""
    records = [({"task": task, "answer": gold}, n) for (task, gold), n in _decoded(answers)]
    best = 0
    for guess, _ in sorted(records, key=lambda pair: -pair[1])[:GUESSES]:
        response = {"content": answer_text(guess["answer"])}
        right = sum(n for each, n in records if (judge(each, response).reward or 0) >= RIGHT)
        best = max(best, right)
    return best / answers.total() if answers else 0.0


def answer_text(answer: Any) -> str:
    """A reference answer as a model would write it."""
    return answer if isinstance(answer, str) else orjson.dumps(answer).decode()


def _decoded(answers: Counter[bytes]) -> Iterator[tuple[tuple[Any, Any], int]]:
    for key, number in answers.items():
        task, answer = orjson.loads(key)
        yield (task, answer), number


class Share(NamedTuple):
    """A share from 0 to 1, and its 95 % interval, if it has one."""

    value: float
    interval: tuple[float, float] | None


class Summary(NamedTuple):
    """The figures of an evaluation by group, as its --report holds them."""

    accuracy: dict[str, Share]
    tokens: dict[str, float]
    """Mean number of tokens per response, where it is known."""
    penalties: dict[str, dict[str, Share]]
    """Penalty -> group -> the share of responses that it is for."""


def summary(report: bytes, name: str) -> Summary:
    """What an earlier run's --report says. UserError, with the `name` of the file, if it is none."""
    found = Summary({}, {}, {})
    try:
        for row in orjson.loads(report)["groups"]:
            group = row["group"]
            found.accuracy[group] = _share(row["accuracy"], row.get("interval"))
            if row.get("tokens") is not None:
                found.tokens[group] = float(row["tokens"])
            for penalty, rate in row.get("penalties", {}).items():
                shares = found.penalties.setdefault(penalty, {})
                shares[group] = _share(rate["share"], rate["interval"])
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise UserError(f"{name}: not the report of an evaluation") from None
    return found


def _share(value: Any, ends: Any) -> Share:
    return Share(float(value), (float(ends[0]), float(ends[1])) if ends else None)


def figures(rows: list[dict]) -> list[str]:
    """A line per group that has more figures than one, in per cent."""
    return [
        f"{row['group']}: "
        + ", ".join(f"{name} {100 * value:.1f}" for name, value in row["metrics"].items())
        for row in rows
        if "metrics" in row
    ]


def parse_minimum(text: str) -> tuple[str, float]:
    """The group and the minimum accuracy of GROUP=0.85."""
    group, equals, number = text.rpartition("=")
    try:
        least = float(number)
    except ValueError:
        least = math.nan
    if not equals or not group or not 0 <= least <= 1:
        raise UserError(f"--min {text}: expected GROUP=X, X from 0 to 1, such as {ALL}=0.85")
    return group, least


def shortfalls(rows: list[dict], minima: list[tuple[str, float]]) -> dict[str, str]:
    """A message per group that misses its minimum; a group without records misses it, too."""
    accuracy = {row["group"]: row["accuracy"] for row in rows}
    return {
        group: f"{group}: accuracy {100 * accuracy[group]:.1f}, below the minimum of {100 * least:g}"
        if group in accuracy
        else f"{group}: no records; there are {', '.join(accuracy) or 'none'}"
        for group, least in minima
        if accuracy.get(group, -1.0) < least
    }
