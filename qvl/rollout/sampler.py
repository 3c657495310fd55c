"""The other process of a run: it samples the queries of a step, gets the signal to learn from (rewards, or
a teacher's log-probs) and writes the file.

Its work is a queue of commands, done one after the other: the samples of a step, new weights, an
evaluation. Their order alone decides which weights sample which step, however fast the engine or the
trainer is. A step's file appears when it is whole, and is not sampled again.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from qvl.client import Refused
from qvl.engines.client import EngineClient, connect
from qvl.engines.weights import FIRST_VERSION
from qvl.errors import UserError
from qvl.io import jsonl
from qvl.pending import STEP_SECONDS, Pending
from qvl.processes import Worker
from qvl.rollout import figures
from qvl.rollout.multi_turn import AgentGroup, MultiTurn
from qvl.rollout.queries import Queries, Query
from qvl.rollout.rewards import Rewarder
from qvl.rollout.run_folder import evaluation, rollouts
from qvl.rollout.settings import RewardSettings, SamplingSettings
from qvl.rollout.signal import Signal, Teaching
from qvl.rollout.single_turn import Group, SingleTurn
from qvl.stage import Drop

Responses = Group | AgentGroup
"""pending responses to a query"""


class SamplerProcess:
    """The queue of commands, and the process that does them; used as a context."""

    def __init__(
        self,
        sampling: SamplingSettings,
        rewards: RewardSettings,
        teaching: Teaching | None = None,
    ) -> None:
        """teaching: what is learnt from in place of the rewards, which then only evaluate."""
        self._worker = Worker(Sampler(sampling, rewards, teaching))
        self._queue = ThreadPoolExecutor(1)

    def put(self, command: str, *arguments: Any) -> "Future[Any]":
        """Add a command, a method of Sampler; its result, or the error that it raises, is to come."""
        return self._queue.submit(self._worker, None, command, *arguments)

    def __enter__(self) -> "SamplerProcess":
        self._worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.shutdown(wait=False, cancel_futures=True)
        self._worker.kill()


class Span(NamedTuple):
    """When a command was done, in seconds of time.monotonic(), which all processes of a machine share."""

    begin: float
    end: float
    signal: float = 0.0
    """Seconds at its end with every response there, and verdicts or a teacher's log-probs still missing."""


class Opened(NamedTuple):
    """What the trainer needs to know of the queries."""

    queries: int
    digest: str
    steps: int
    """That see every query as often as the epochs say."""


class Sampler:
    """Does the commands. It is pickled before it connects."""

    def __init__(
        self,
        sampling: SamplingSettings,
        rewards: RewardSettings,
        teaching: Teaching | None = None,
    ) -> None:
        self.sampling, self.rewards, self.teaching = sampling, rewards, teaching
        self._failed: UserError | None = None
        self._asleep = False

    def __call__(self, command: str, *arguments: Any) -> Any:
        """Do a command. After one that failed, all do: samples of wrong weights would look right."""
        if self._failed:
            raise self._failed
        try:
            return getattr(self, command)(*arguments)
        except UserError as error:
            self._failed = error
            raise

    def open(self, epochs: float) -> Opened:
        """Connect to the engine and read the queries."""
        self.queries = Queries(self.sampling.queries, self.sampling.queries_per_step)
        self._stack = contextlib.ExitStack()
        model, concurrency = Path(self.sampling.model), self.sampling.concurrency
        connected = connect(self.sampling.endpoint, model, concurrency=concurrency)
        self.engine: EngineClient = self._stack.enter_context(connected)
        if self.sampling.share_devices:
            self.engine.wake()
        self.engine.resume()  # a run that was killed may have left it paused
        self.rewarder = self._stack.enter_context(Rewarder(self.rewards, self.sampling))
        turns = MultiTurn if self.sampling.agent else SingleTurn
        self.turns = self._stack.enter_context(turns(self.sampling, self.engine))
        self.signal: Signal = self.rewarder
        if self.teaching:
            assert isinstance(self.turns, SingleTurn)
            signal = self.teaching.signal(self.turns.renderer)
            self.signal = self._stack.enter_context(signal)
        return Opened(len(self.queries), self.queries.digest, self.queries.num_steps(epochs))

    def warm_up(self) -> None:
        """Import what loading weights needs, while the trainer is built: PyTorch takes seconds."""
        import_module("qvl.model.folder")

    def load(self, folder: Path, version: str) -> Span:
        """Give the engine new weights; the first ones only if it serves others.

        Errors are those of EngineClient.load_weights.
        """
        started = time.monotonic()
        if self._asleep:
            self.engine.wake()
            self._asleep = False
        if (version, self.engine.weight_version) != (FIRST_VERSION, FIRST_VERSION):
            previous = self.engine.folder
            self.engine.load_weights(folder, version)
            if previous and _are_neighbours(previous.resolve(), folder.resolve()):
                shutil.rmtree(previous, ignore_errors=True)
        return Span(started, time.monotonic())

    def sample(self, step: int) -> Span:
        """Write the file of a step, unless it is there."""
        started = time.monotonic()
        path, signal = rollouts(self.sampling.output, step), 0.0
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            queries = self.queries.step(step)
            groups = [_Signalled(x.record, self.turns.submit(x), self.signal) for x in queries]
            jsonl.write(self._records(step, queries, groups), str(path))
            signal = time.monotonic() - max(each.responded for each in groups)
        if self.sampling.share_devices:
            self.engine.sleep()
            self._asleep = True
        return Span(started, time.monotonic(), signal)

    def evaluate(self, step: int) -> tuple[Span, dict[str, float]]:
        """Answer the held-out records and write them; returns their figures, too."""
        started = time.monotonic()
        path = evaluation(self.sampling.output, step)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            records = jsonl.read(list(self.sampling.held_out))
            groups = (
                _Signalled(each, self.turns.submit_held_out(each), self.rewarder)
                for each in records
            )
            jsonl.write(_in_order(list(groups)), str(path))
        found = figures.of_evaluation(jsonl.read(str(path)))
        return Span(started, time.monotonic()), found

    def _records(
        self, step: int, queries: Sequence[Query], groups: "Sequence[_Signalled]"
    ) -> Iterator[dict[str, Any]]:
        """The queries with their groups, in order. CheckFailed where too many have no verdict."""
        for query, record in zip(queries, _in_order(groups), strict=True):
            rollout = {"step": step, "place": query.place, **record["rollout"]}
            yield {**self.signal.complete(record), "rollout": rollout}
        self.signal.check()


def _are_neighbours(one: Path, other: Path) -> bool:
    return one.parent == other.parent and one != other


def version(step: int) -> str:
    """The name of the weights after a step."""
    return f"step-{step:06d}" if step else FIRST_VERSION


class _Signalled:
    """A record whose responses come first, and then their signal (qvl.pending.Stepwise)."""

    def __init__(self, record: dict[str, Any], group: Responses | Drop, signal: Signal) -> None:
        self._record, self._group, self._signal = record, group, signal
        self._found: Pending | None = None
        self.responded = time.monotonic()
        """When its responses were there, once they are."""

    def done(self) -> bool:
        return self._found.done() if self._found else isinstance(self._group, Drop)

    def advance(self) -> bool:
        """Request the signal once the responses are there; return whether it is there too."""
        if self._found is None and not isinstance(self._group, Drop) and self._group.done():
            self._request(self._group)
        return self.done()

    def result(self) -> dict[str, Any]:
        """The record with its responses and `rollout`: the media of its prompt, or the reason why
        there are no responses."""
        if isinstance(self._group, Drop):
            reason = {"reason": self._group.reason, "detail": self._group.detail}
            return {**self._record, "responses": [], "rollout": reason}
        assert self._found is not None
        return {**self._found.result(), "rollout": self._group.media}

    def _request(self, group: Responses) -> None:
        self.responded = time.monotonic()
        try:
            responses = group.result()
        except Refused as refused:
            responses = Drop("refused", str(refused))
        if isinstance(responses, Drop):
            self._group = responses
            return
        self._found = self._signal.submit({**self._record, "responses": responses})


def _in_order(groups: Sequence[_Signalled]) -> Iterator[dict[str, Any]]:
    """The results in order; all advance meanwhile, so that none waits for those before it."""
    waiting = list(groups)
    for each in groups:
        while not each.advance():
            waiting = [one for one in waiting if not one.advance()]
            time.sleep(STEP_SECONDS)
        yield each.result()
