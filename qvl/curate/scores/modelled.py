"""Scores by a scalar reward model, in addition to those of rules and judges (qvl.curate.scores.measured).

The axis `reward_model` is the value that the model returns. It has no bounds, and is of use only to compare
answers. An answer that the model refuses has no value; reward_model_errors counts such answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from qvl.curate.scores import measured
from qvl.judge.reward_model import RewardModel
from qvl.pending import Gather, Pending, Ready
from qvl.record import scores_of, with_scores
from qvl.stage import Drop
from qvl.text import answers

AXIS, ERRORS = measured.MODEL, "reward_model_errors"


class Scorer(Protocol):
    """Adds scores to a record: rules alone, or judges."""

    def submit(self, record: dict) -> Pending: ...

    def counts(self, result: dict | Drop) -> tuple[int, int, str]: ...


class MeasuredScores:
    """The axes that rules measure, without a judge."""

    def submit(self, record: dict) -> Pending:
        return Ready(measured.annotate(record))

    def counts(self, result: dict | Drop) -> tuple[int, int, str]:
        return 0, 0, ""


@dataclass(frozen=True)
class ModelledScores:
    """Adds the reward model's axis to the scores of `rest`."""

    model: RewardModel
    rest: Scorer

    def submit(self, record: dict) -> Pending:
        turn, responses = answers.of_record(record)
        contents = [each.content for each in responses]
        values = self.model.submit(record, contents + ([turn.content] if turn is not None else []))

        def combine(found: list) -> dict:
            scored, *numbers = found
            rows = [_row(number) for number in numbers]
            if turn is not None:
                *rows, own = rows
            else:
                own = _mean(rows)
            return with_scores(scored, measured.STAGE, own if values else None, rows, update=True)

        return Gather([self.rest.submit(record), *values], combine)

    def counts(self, result: dict | Drop) -> tuple[int, int, str]:
        asked, wrong, example = self.rest.counts(result)
        if isinstance(result, Drop):
            return asked, wrong, example
        rows: list[Mapping] = [one["scores"] for one in result.get("responses") or []]
        turn, _ = answers.of_record(result)
        if turn is not None:
            rows.append(scores_of(result, measured.STAGE))
        wrong += sum(ERRORS in row for row in rows)
        return asked + len(rows), wrong, example or f"record {result['id']!r}"


def _row(value: float | None) -> dict[str, float]:
    return {ERRORS: 1} if value is None else {AXIS: round(value, 6)}


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    values = [row[AXIS] for row in rows if AXIS in row]
    return {AXIS: round(sum(values) / len(values), 6)} if values else {}
