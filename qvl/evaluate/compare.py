"""Two evaluations of the same records, paired: the difference, its interval, and a test.

Each record counts once: the share of its responses that are right, or free of penalties. The interval of the
mean difference is Student's over the records' differences. The test is exact for records that are right or
wrong (McNemar 1947: the sign test over the records that changed); with several responses per record, it is a
test of random signs over the differences, of SIGNS draws.
"""

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from qvl.errors import UserError
from qvl.evaluate.measures.sets import rewards, share
from qvl.evaluate.metrics import ALL
from qvl.intervals import student
from qvl.reward.penalties import find, penalised_share

SIGNS = 10_000
SIGNIFICANT = 0.05  # the p below which a difference counts, our choice
MAX_SHOWN = 300  # characters of what a changed item answered


@dataclass
class Pairs:
    """The paired shares of one group."""

    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)


class Comparison:
    """Pairs the records of an earlier run with those of a later one by their ids."""

    def __init__(self, before: Iterable[dict], by: str, free_of: Sequence[str] = ()) -> None:
        """free_of: penalties; then the shares are of responses that get none of them, right or wrong."""
        for name in free_of:
            find(name)
        self._penalties = tuple(free_of)
        self._before = {record["id"]: self._kept(record) for record in before}
        self._by = by
        self.groups: dict[str, Pairs] = {}
        self.unpaired = 0

    def changed(self, after: Iterable[dict]) -> Iterator[dict]:
        """Count each record of the later run, and yield what changed: its group, and both answers."""
        for record in after:
            old, new = self._before.pop(record["id"], None), self._kept(record)
            if old is None or old["share"] is None or new["share"] is None:
                self.unpaired += 1
                continue
            pairs = self.groups.setdefault(str(record.get(self._by, "-")), Pairs())
            pairs.before.append(old["share"])
            pairs.after.append(new["share"])
            if old["share"] != new["share"]:
                yield {
                    "id": record["id"],
                    self._by: record.get(self._by),
                    "answer": record.get("answer"),
                    "before": old,
                    "after": new,
                }
        self.unpaired += len(self._before)

    def rows(self) -> list[dict]:
        """A row per group, by name, and one for all."""
        if not self.groups:
            raise UserError(
                "no record is in both, with a reward; are they runs of the same records?"
            )
        rows = [_row(name, pairs) for name, pairs in sorted(self.groups.items())]
        if len(rows) == 1:
            return rows
        whole = Pairs()
        for pairs in self.groups.values():
            whole.before += pairs.before
            whole.after += pairs.after
        return [*rows, _row(ALL, whole)]

    def _kept(self, record: dict) -> dict[str, Any]:
        """What of a record's responses is compared and shown."""
        responses = record.get("responses")
        if not isinstance(responses, list) or any("reward" not in each for each in responses):
            raise UserError(f"record {record.get('id')!r}: not judged; run qvl eval score on it")
        first = responses[0] if responses else {}
        verdict = first.get("verdict") or {}
        return {
            "share": self._share(record),
            "extracted": verdict.get("extracted"),
            "detail": verdict.get("detail", ""),
            "content": str(first.get("content") or "")[-MAX_SHOWN:],
        }

    def _share(self, record: dict) -> float | None:
        """The share of a record's responses that count; None for a record without a verdict."""
        if self._penalties:
            responses = record["responses"]
            return 1 - penalised_share(self._penalties, record, responses) if responses else None
        found = rewards(record)
        return share(found) if found else None


def shortfalls(rows: list[dict], wanted: list[str]) -> list[str]:
    """A message per wanted group that is not better in the later run, or where p is not below SIGNIFICANT."""
    known = {row["group"]: row for row in rows}
    found = []
    for group in wanted:
        row = known.get(group)
        if row is None:
            found.append(f"{group}: no records; there are {', '.join(known)}")
        elif row["difference"] <= 0 or row["p"] >= SIGNIFICANT:
            found.append(f"{group}: not better, {100 * row['difference']:+.1f}, p {row['p']:.2g}")
    return found


def _row(name: str, pairs: Pairs) -> dict:
    differences = [new - old for old, new in zip(pairs.before, pairs.after, strict=True)]
    count = len(differences)
    mean = sum(differences) / count
    return {
        "group": name,
        "records": count,
        "before": sum(pairs.before) / count,
        "after": sum(pairs.after) / count,
        "difference": mean,
        "interval": _interval(differences, mean),
        "better": sum(each > 0 for each in differences),
        "worse": sum(each < 0 for each in differences),
        "p": p_value(differences),
    }


def _interval(differences: list[float], mean: float) -> tuple[float, float] | None:
    count = len(differences)
    if count < 2:
        return None
    variance = sum((each - mean) ** 2 for each in differences) / (count - 1)
    half = student(count - 1) * math.sqrt(variance / count)
    return max(-1.0, mean - half), min(1.0, mean + half)


def p_value(differences: list[float], seed: int = 0) -> float:
    """The two-sided p of no difference; 1 where nothing changed."""
    changed = [each for each in differences if each]
    if not changed:
        return 1.0
    if {abs(each) for each in changed} == {1.0}:
        return _sign_test(len(changed), sum(each > 0 for each in changed))
    signs = random.Random(seed)
    observed = abs(sum(changed)) - 1e-12
    extreme = sum(
        abs(sum(each if signs.random() < 0.5 else -each for each in changed)) >= observed
        for _ in range(SIGNS)
    )
    return (extreme + 1) / (SIGNS + 1)


def _sign_test(count: int, positive: int) -> float:
    """The two-sided p of the exact binomial test at 1/2."""
    least = min(positive, count - positive)
    tail = sum(math.comb(count, each) for each in range(least + 1))
    return min(1.0, 2 * tail / 2**count)
