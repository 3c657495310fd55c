"""The stage of `qvl agent-rollout`: records in, records with the trajectories of their episodes out."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from qvl.agent.agent import Agent, Group
from qvl.agent.episode import Wanted
from qvl.client.seed import sample_seed
from qvl.engines.tokens import SamplingParams
from qvl.media.errors import MediaError
from qvl.pending import Pending, Ready
from qvl.sampling.samples import problem, stop_at
from qvl.stage import Drop

if TYPE_CHECKING:
    from concurrent.futures import Future


@dataclass(kw_only=True)
class Rollout:
    """Adds episodes to the responses of records."""

    agent: Agent
    num_samples: int
    params: SamplingParams
    sampling: dict[str, Any]
    """As responses report it."""
    seed: int = 0
    stop: bool = True
    """End the run at a record that has no episode."""

    def submit(self, record: dict) -> Pending:
        """The record with its new responses, to come; a Drop where it has none."""
        drop = problem(record)
        if drop is not None:
            return Ready(drop._replace(record=record))
        first = len(record.get("responses") or [])
        places = range(first, first + self.num_samples)
        future = self.agent.submit(record, [self._wanted(record["id"], each) for each in places])
        return _WithEpisodes(record, self.agent.with_tools(record), future)

    def watch(self, result: dict | Drop) -> None:
        """UserError for a record without episodes, where that is to end the run."""
        if self.stop and isinstance(result, Drop):
            stop_at(result.record, result)

    def _wanted(self, identity: str, index: int) -> Wanted:
        seeds = partial(turn_seed, self.seed, identity, index)
        if self.params.temperature == 0:
            return Wanted(self.params, lambda turn: None, self.sampling)
        return Wanted(self.params, seeds, {**self.sampling, "seed": seeds(1)})


def turn_seed(seed: int, identity: str, index: int, turn: int) -> int:
    """The seed of a turn, from 1, of episode `index` of a record; the first is that of a single turn."""
    return sample_seed(seed, identity if turn == 1 else f"{identity}:turn {turn}", index)


class _WithEpisodes(NamedTuple):
    record: dict
    asked: dict
    """The record with its tools."""
    future: "Future[Group | Drop]"

    def done(self) -> bool:
        return self.future.done()

    def result(self) -> dict | Drop:
        try:
            found = self.future.result()
        except MediaError as error:
            return Drop("media", str(error), self.record)
        if isinstance(found, Drop):
            return found._replace(record=self.record)
        before = self.record.get("responses") or []
        return {**self.asked, "responses": [*before, *found.responses]}
