"""Instruction following, loosely: see qvl.reward.verifiers.instruction.strict."""

from functools import partial

from qvl.reward.verifiers.instruction import strict

judge = partial(strict.judge, loose=True)


def score(record: dict, response: dict) -> float:
    """1 if each constraint is kept by one of the eight variants, else 0."""
    return judge(record, response).reward or 0.0
