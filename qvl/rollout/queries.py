"""The queries of a run: their files, and which of them a step takes."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from qvl.errors import UserError
from qvl.io import jsonl


class Query(NamedTuple):
    """A record at its place in the run."""

    place: int
    """From 0, over all epochs: a query that comes again gets other seeds."""
    record: dict[str, Any]


class Queries:
    """Records in the order of their files, epoch after epoch: `qvl rl prepare` has shuffled and mixed
    them, and another order would change the ratio of the tasks in a step. They are held in memory."""

    def __init__(self, paths: Sequence[str], per_step: int) -> None:
        self.per_step = per_step
        records = map(_without_responses, jsonl.read(list(paths)))
        self._lines = [jsonl.encode(record) for record in records]
        if not self._lines:
            raise UserError(f"{paths[0]}: holds no queries; see the rejects of qvl rl prepare")

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def digest(self) -> str:
        """Names the queries and their order."""
        digest = hashlib.blake2b(digest_size=8)
        for line in self._lines:
            digest.update(line)
        return digest.hexdigest()

    def step(self, number: int) -> list[Query]:
        """The queries of step `number`, from 1."""
        first = (number - 1) * self.per_step
        places = range(first, first + self.per_step)
        return [Query(place, orjson.loads(self._lines[place % len(self)])) for place in places]

    def num_steps(self, epochs: float) -> int:
        """Steps that see every query `epochs` times; the last one continues into the next epoch."""
        return max(1, -(-round(epochs * len(self)) // self.per_step))


def _without_responses(record: dict[str, Any]) -> dict[str, Any]:
    """Those of `qvl rl prepare` are another model's."""
    return {name: value for name, value in record.items() if name != "responses"}
