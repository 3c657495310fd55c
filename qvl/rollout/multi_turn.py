"""What is sampled, with tools: episodes of several turns (qvl.agent), in place of responses of one.

The interface is that of qvl.rollout.single_turn. A response has, beside the fields listed there, `sampled`:
which of its token_ids the model sampled; `logprobs` are of these, and the others are not learnt.
"""

from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qvl.agent.agent import Agent
from qvl.agent.agent import Group as Episodes
from qvl.agent.episode import Wanted
from qvl.agent.rollout import turn_seed
from qvl.engines.client import EngineClient
from qvl.engines.tokens import SamplingParams
from qvl.rollout.queries import Query
from qvl.rollout.settings import SamplingSettings
from qvl.rollout.single_turn import check_versions
from qvl.stage import Drop


@dataclass
class AgentGroup:
    """The pending episodes of one query (qvl.pending.Pending)."""

    future: "Future[Episodes | Drop]"
    expected: str
    """Version of the weights that should answer."""

    def done(self) -> bool:
        return self.future.done()

    def result(self) -> list[dict[str, Any]] | Drop:
        """The responses; a Drop for a record that has no prompt, or whose prompt was refused."""
        found = self.future.result()
        if isinstance(found, Drop):
            return found
        for response in found.responses:
            check_versions(response["weight_versions"], self.expected)
        return found.responses

    @property
    def media(self) -> dict[str, Any]:
        """`images` and `grids` of the prompt, once there are responses."""
        found = self.future.result()
        return {} if isinstance(found, Drop) else found.media


class MultiTurn:
    """Asks an agent for the groups of queries; used as a context."""

    def __init__(self, settings: SamplingSettings, engine: EngineClient) -> None:
        assert settings.agent is not None
        self.settings, self.engine = settings, engine
        self.agent = Agent(
            settings.agent,
            engine,
            Path(settings.model),
            Path(settings.media_root),
            allow_remote=settings.allow_remote,
        )

    def __enter__(self) -> "MultiTurn":
        self.agent.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.agent.__exit__(*error)

    def submit(self, query: Query) -> AgentGroup:
        """Request the query's group."""
        identity = f"{query.place}:{query.record.get('id')}"
        wanted = [self._sampled(identity, index) for index in range(self.settings.num_samples)]
        return self._group(query.record, wanted)

    def submit_held_out(self, record: dict[str, Any]) -> AgentGroup:
        """Request the greedy episode of a held-out record first, and then the sampled ones."""
        identity = f"held out:{record.get('id')}"
        facts = {"temperature": 0.0, "max_tokens": self.settings.max_tokens}
        greedy = Wanted(SamplingParams(temperature=0.0), lambda turn: None, facts)
        sampled = [self._sampled(identity, index) for index in range(self.settings.eval_samples)]
        return self._group(record, [greedy, *sampled])

    def _sampled(self, identity: str, index: int) -> Wanted:
        facts = {"temperature": 1.0, "max_tokens": self.settings.max_tokens}
        seeds = partial(turn_seed, self.settings.seed, identity, index)
        return Wanted(SamplingParams(), seeds, facts)

    def _group(self, record: dict[str, Any], wanted: list[Wanted]) -> AgentGroup:
        return AgentGroup(self.agent.submit(record, wanted), self.engine.weight_version)
