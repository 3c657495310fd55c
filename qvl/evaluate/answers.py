"""From a record to its answers, and from answers to scores: two steps that stand alone."""

from dataclasses import dataclass

from qvl import reward
from qvl.client import Client
from qvl.client.endpoint import Refused
from qvl.sampling import samples
from qvl.stage import Drop


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(samples.SamplingConfig):
    """How each record is asked and judged."""

    reward: str | None = None
    """a verifier for all records, in place of each task's own"""


def problem(record: dict, reward_name: str | None = None) -> Drop | None:
    """Why a record cannot be evaluated, found before a token is spent."""
    unasked = samples.problem(record)
    if unasked:
        return unasked
    judged = reward.unverifiable(record, reward_name)
    return Drop("unverifiable", judged) if judged else None


def score(record: dict, response: dict, reward_name: str | None = None) -> dict:
    """The response with its reward."""
    return {**response, "reward": reward.verify(record, response, reward_name)}


def evaluate(record: dict, client: Client, asking: EvaluationConfig, *, stop: bool) -> dict | Drop:
    """The record with scored responses; where that cannot be, a Drop, or with `stop` an error."""
    drop = problem(record, asking.reward)
    if drop is None:
        try:
            found = samples.draw(record, client, asking)
        except Refused as refused:
            drop = Drop("refused", str(refused))
        else:
            scored = [score(record, response, asking.reward) for response in found]
            return {**record, "responses": scored}
    if stop:
        samples.stopped(record, drop)
    return drop
