"""Instruction following, loosely: see qvl.reward.verifiers.instruction."""

from functools import partial

from qvl.reward.verifiers import instruction

judge = partial(instruction.judge, loose=True)


def score(record: dict, response: dict) -> float:
    """1 where the best of eight variants keeps every constraint, else 0."""
    return judge(record, response).reward or 0.0
