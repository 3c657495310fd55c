"""From a record to its answers, and from answers to scores: two steps that stand alone."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import qvl.record
from qvl import reward
from qvl.client import Client
from qvl.client.endpoint import Refused
from qvl.client.media import responses
from qvl.errors import UserError
from qvl.stage import Drop

SEEDED_BITS = 31  # engines take seeds as signed integers of 32 bits or more


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How each record is asked and judged."""

    num_samples: int = 1
    sampling: dict[str, Any] = field(default_factory=dict)
    """parameters by their names in OpenAI's API; None leaves one to the server"""
    seed: int = 0
    reward: str | None = None
    """a verifier for all records, in place of each task's own"""


def problem(record: dict, reward_name: str | None = None) -> Drop | None:
    """Why a record cannot be evaluated, found before a token is spent."""
    unsound = qvl.record.check(record)
    if unsound:
        return Drop("unsound", unsound)
    last = record["messages"][-1]["role"]
    if last not in ("user", "tool"):
        return Drop("no-question", f"it ends in the {last}'s turn: there is nothing to answer")
    judged = reward.unverifiable(record, reward_name)
    return Drop("unverifiable", judged) if judged else None


def answer(record: dict, client: Client, asking: Asking) -> list[dict]:
    """The responses of the endpoint, unscored. Refused where it will not answer this record."""
    given = {name: value for name, value in asking.sampling.items() if value is not None}
    samples = [
        {**given, "seed": sample_seed(asking.seed, record["id"], index)}
        if given.get("temperature") != 0
        else given
        for index in range(asking.num_samples)
    ]
    futures = [client.submit(record["messages"], **sampling) for sampling in samples]
    return [
        response
        for future, sampling in zip(futures, samples, strict=True)
        for response in responses(future.result(), sampling)
    ]


def score(record: dict, response: dict, reward_name: str | None = None) -> dict:
    """The response with its reward."""
    return {**response, "reward": reward.verify(record, response, reward_name)}


def evaluate(record: dict, client: Client, asking: Asking, *, stop: bool) -> dict | Drop:
    """The record with scored responses; where that cannot be, a Drop, or with `stop` an error."""
    drop = problem(record, asking.reward)
    if drop is None:
        try:
            found = answer(record, client, asking)
        except Refused as refused:
            drop = Drop("refused", str(refused))
        else:
            scored = [score(record, response, asking.reward) for response in found]
            return {**record, "responses": scored}
    if stop:
        raise UserError(
            f"record {record.get('id')!r}: {drop.detail}; "
            "--on-error reject --rejects FILE puts such records aside"
        )
    return drop


def sample_seed(seed: int, identity: str, index: int) -> int:
    """The seed of one sample: the same in a run that is resumed, reordered or cut into shards."""
    digest = hashlib.blake2b(f"{seed}:{index}:{identity}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - SEEDED_BITS)
