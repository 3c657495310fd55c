"""Scores by judges, beside those that rules measure; see qvl.curate.scores.measured.

The axes are those of the prompt (Qwen3-VL report 4.2.1 names them and publishes no prompt and no scale).
Scores are from 0 to 1 and named judge_AXIS, so that they overwrite none of a rule. With several verdicts,
judge_AXIS_spread is the largest less the smallest. A verdict that cannot be parsed gives no score, never a
0, and is counted by judge_errors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from qvl.curate.scores import measured
from qvl.judge import Judge, Judgment, material
from qvl.judge.material import Section
from qvl.pending import Gather, Pending, Ready
from qvl.record import media_kind, scores_of, with_scores
from qvl.stage import Drop
from qvl.text import answers
from qvl.text.answers import Answer

ERRORS = "judge_errors"


@dataclass(frozen=True, kw_only=True)
class JudgedScores:
    """Several judges' verdicts on each answer of a record."""

    judges: Sequence[Judge]
    """For records of text alone."""
    visual: Sequence[Judge]
    """The same models with the prompt for records with images or videos."""
    samples: int = 1
    """Verdicts of each judge."""
    aggregate: str = "mean"
    """How they are combined: a name in measured.AGGREGATES."""

    def submit(self, record: dict) -> Pending:
        """The record with rules' and judges' scores, to come."""
        scored = measured.annotate(record)
        turn, responses = answers.of_record(record)
        judged = [*responses, *([turn] if turn is not None else [])]
        requests = [
            (place, judge, judge.submit(f"{record['id']}/{place}", sections, sample))
            for place, answer in enumerate(judged)
            for sections in [material.of_record(record, Section("response", answer.content))]
            for judge in self._judges(record)
            for sample in range(self.samples)
        ]
        if not requests:
            return Ready(scored)

        def combine(verdicts: list[Judgment]) -> dict:
            found: list[list[tuple[Judge, Judgment]]] = [[] for _ in judged]
            for (place, judge, _), verdict in zip(requests, verdicts, strict=True):
                found[place].append((judge, verdict))
            rows = [self._row(each) for each in found]
            own = rows[len(responses)] if turn is not None else _mean(rows)
            return with_scores(scored, measured.STAGE, own, rows[: len(responses)], update=True)

        return Gather([pending for *_, pending in requests], combine)

    def counts(self, result: dict | Drop) -> tuple[int, int, str]:
        """How many verdicts were requested, how many of them are errors, and on which record."""
        if isinstance(result, Drop):
            return 0, 0, ""
        turn, responses = answers.of_record(result)
        of_turn = scores_of(result, measured.STAGE) if turn is not None else {}
        answered = len(responses) + (turn is not None)
        wrong = _wrong(result) + of_turn.get(ERRORS, 0)
        return answered * len(self.judges) * self.samples, wrong, f"record {result['id']!r}"

    def _judges(self, record: dict) -> Sequence[Judge]:
        return self.judges if media_kind(record) == "text" else self.visual

    def _row(self, verdicts: Sequence[tuple[Judge, Judgment]]) -> dict[str, float]:
        """The scores of one answer."""
        row: dict[str, float] = {}
        for name in verdicts[0][0].prompt.fields:
            values = [
                judge.prompt.fields[name].share(verdict.values[name])
                for judge, verdict in verdicts
                if not verdict.error and judge.prompt.fields[name].kind == "score"
            ]
            if values:
                row[f"judge_{name}"] = round(measured.AGGREGATES[self.aggregate](values), 4)
            if len(values) > 1:
                row[f"judge_{name}_spread"] = round(max(values) - min(values), 4)
        return {**row, **_errors(verdict for _, verdict in verdicts)}


@dataclass(frozen=True, kw_only=True)
class Pairwise:
    """Each pair of a record's responses, compared in both orders.

    A verdict that changes with the order was about the order: it counts as a tie. judge_wins is the
    share of its pairs that a response wins, a tie half.
    """

    judges: Sequence[Judge]

    def submit(self, record: dict) -> Pending:
        """The record with judge_wins on its responses, to come."""
        _, responses = answers.of_record(record)
        requests = [
            (first, second, judge.submit(f"{record['id']}/{first}-{second}", sections))
            for one, other in combinations(range(len(responses)), 2)
            for first, second in ((one, other), (other, one))
            for sections in [_pair(record, responses[first], responses[second])]
            for judge in self.judges
        ]
        if not requests:
            return Ready(record)

        def combine(verdicts: list[Judgment]) -> dict:
            by_order: dict[tuple[int, int], list[Judgment]] = {}
            for (first, second, _), verdict in zip(requests, verdicts, strict=True):
                by_order.setdefault((first, second), []).append(verdict)
            won: list[list[float]] = [[] for _ in responses]
            errors: list[list[Judgment]] = [[] for _ in responses]
            for one, other in combinations(range(len(responses)), 2):
                for there, back in zip(by_order[one, other], by_order[other, one], strict=True):
                    for place in (one, other):
                        errors[place] += [there, back]
                    if not there.error and not back.error:
                        share = _won(there.values["better"], back.values["better"])
                        won[one].append(share)
                        won[other].append(1 - share)
            rows = [
                {
                    **({measured.WINS: round(sum(each) / len(each), 4)} if each else {}),
                    **_errors(all_),
                }
                for each, all_ in zip(won, errors, strict=True)
            ]
            return with_scores(record, measured.STAGE, responses=rows)

        return Gather([pending for *_, pending in requests], combine)

    def counts(self, result: dict | Drop) -> tuple[int, int, str]:
        """As JudgedScores'; each error stands with both responses of its pair."""
        if isinstance(result, Drop):
            return 0, 0, ""
        count = len(result.get("responses") or [])
        asked = count * (count - 1) * len(self.judges)
        return asked, _wrong(result) // 2, f"record {result['id']!r}"


def _wrong(record: dict) -> int:
    return sum(one["scores"].get(ERRORS, 0) for one in record.get("responses") or [])


def _won(there: str, back: str) -> float:
    """The share of the one that stands first in `there` and second in `back`."""
    if there == "A" and back == "B":
        return 1.0
    if there == "B" and back == "A":
        return 0.0
    return 0.5


def _pair(record: dict, one: Answer, other: Answer) -> list[Section]:
    first, second = Section("response-A", one.content), Section("response-B", other.content)
    return material.of_record(record, first, second)


def _errors(verdicts: Any) -> dict[str, int]:
    count = sum(bool(verdict.error) for verdict in verdicts)
    return {ERRORS: count} if count else {}


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row if name != ERRORS)
    return {
        name: round(sum(of) / len(of), 4)
        for name in names
        for of in [[row[name] for row in rows if name in row]]
    }
