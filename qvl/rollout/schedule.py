"""The files of a run's steps, as every rank sees them; rank 0 has the process that makes them.

With a staleness of S the samples of step n come from the weights after step n - 1 - S. The commands are
put in the order

    samples of the steps 1 to 1 + S, and after step n: weights of step n, samples of step n + 1 + S

so S = 0 is exactly on-policy: sampling waits for the trainer and the trainer for sampling. With S = 1
the next step is sampled while this one is trained.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, Protocol

import orjson

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.io.disk_list import DiskList
from qvl.rollout.run_folder import rollouts
from qvl.rollout.sampler import Span, version

LogProbs = dict[tuple[int, int], list[float]]
"""of responses, by the numbers of record and response in a step"""
Together = Callable[[Callable[[], Any]], Any]
"""what a function returns on rank 0, on every rank, and the error that it raises, too"""


class Commands(Protocol):
    """A queue of commands; see qvl.rollout.sampler."""

    def put(self, command: str, *arguments: Any) -> "Future[Any]": ...


class Schedule:
    """Steps that an engine samples while the trainer runs."""

    def __init__(
        self,
        process: Commands | None,
        together: Together,
        output: Path,
        *,
        staleness: int = 0,
        evaluate_every: int = 0,
    ) -> None:
        """process: on rank 0. evaluate_every: steps between evaluations; 0: none."""
        self.process, self.together, self.output = process, together, output
        self.staleness, self.evaluate_every = staleness, evaluate_every
        self.steps = 0
        self._spans: dict[str, list[Span]] = {}  # of the commands since they were read
        self._samples: dict[int, Future[Any]] = {}
        self._weights: list[Future[Any]] = []
        self._evaluations: dict[int, Future[Any]] = {}

    def open(self, epochs: float) -> Any:
        """Start the process; see Sampler.open."""
        opened = self.together(lambda: self._put("open", epochs).result())
        if self.process:
            self._put("warm_up")
        return opened

    def begin(self, done: int, steps: int, weights: Callable[[int], Path]) -> None:
        """Continue after step `done` of a run of `steps`. weights: writes those after a step, and
        returns their folder; called on every rank."""
        self.steps, folder = steps, weights(done)
        if self.process:
            self._weights.append(self._put("load", folder, version(done)))
            if self._is_due(done):  # a kill may have come between its file and its figures' report
                self._evaluate(done)
            for number in range(done + 1, done + 2 + self.staleness):
                self._sample(number)

    def records(self, number: int) -> list[dict[str, Any]]:
        """The records of a step, once they are sampled; commands that failed raise here."""
        self.together(lambda: self._wait(number))
        return list(jsonl.read(str(rollouts(self.output, number))))

    def expected(self, number: int) -> str:
        """The version of the trainer's weights before a step."""
        return version(number - 1)

    def keep(self, number: int, records: list[dict[str, Any]], log_probs: LogProbs) -> None:
        """Add the trainer's log-probs before a step to its file, with their version; log_probs: {} but on
        rank 0."""
        weights = self.expected(number)
        for (record, response), values in log_probs.items():
            kept = {"trainer_logprobs": values, "trainer_version": weights}
            records[record]["responses"][response] |= kept
        if log_probs:
            jsonl.write(records, str(rollouts(self.output, number)))

    def trained(self, number: int, weights: Callable[[int], Path]) -> None:
        """The trainer has taken a step: give the engine its weights, and sample a further step."""
        folder = weights(number)
        if self.process:
            self._weights.append(self._put("load", folder, version(number)))
            if self._is_due(number):
                self._evaluate(number)
            self._sample(number + 1 + self.staleness)

    def evaluations(self, *, all_of_them: bool = False) -> list[tuple[int, dict[str, float]]]:
        """The figures of evaluations that are done since the last call, by step; on rank 0."""
        done = [step for step, one in self._evaluations.items() if all_of_them or one.done()]
        found = [(step, self._evaluations.pop(step).result()) for step in done]
        for _, (span, _) in found:
            self._count("evaluate", span)
        return [(step, figures) for step, (_, figures) in found]

    def phases(self, began: float, ended: float) -> dict[str, float]:
        """Seconds, on rank 0: of each kind of command since the last call; `signal_seconds`, of Span.signal;
        and `idle_seconds`, of a wait from `began` to `ended` in which the engine neither sampled nor
        evaluated."""
        spans, self._spans = self._spans, {}
        found = {f"{name}_seconds": sum(map(_length, each)) for name, each in spans.items()}
        if samples := spans.get("sample"):
            found["signal_seconds"] = sum(each.signal for each in samples)
        busy = [each for name in ("sample", "evaluate") for each in spans.get(name, ())]
        covered = sum(max(0.0, min(ended, x.end) - max(began, x.begin)) for x in busy)
        return found | {"idle_seconds": max(0.0, ended - began - covered)}

    def settle(self) -> None:
        """Wait until every step that was started is sampled, and the engine has its weights: a checkpoint
        may follow, and a run that is resumed from it must find them."""

        def wait_for_all() -> None:
            for each in [*self._samples.values(), *self._weights]:
                each.result()

        self.together(wait_for_all)

    def _wait(self, number: int) -> None:
        samples = self._samples[number]
        wait([samples])
        for each in [each for each in self._weights if each.done()]:  # a failed one comes first
            self._count("load", each.result())
            self._weights.remove(each)
        self._count("sample", samples.result())
        del self._samples[number]

    def _count(self, name: str, span: Span) -> None:
        self._spans.setdefault(name, []).append(span)

    def _sample(self, number: int) -> None:
        if number > self.steps:
            return
        self._samples[number] = self._put("sample", number)

    def _is_due(self, number: int) -> bool:
        """Whether an evaluation follows a step: the start, every few steps, and the last."""
        every = self.evaluate_every
        return bool(every) and (number % every == 0 or number == self.steps)

    def _evaluate(self, number: int) -> None:
        self._evaluations[number] = self._put("evaluate", number)

    def _put(self, command: str, *arguments: Any) -> "Future[Any]":
        assert self.process
        return self.process.put(command, *arguments)


def _length(span: Span) -> float:
    return span.end - span.begin


class Stored:
    """Steps that were sampled before, a file each: a schedule without an engine."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths

    def num_steps(self, epochs: float) -> int:
        """One per file."""
        return len(self.paths)

    def begin(self, done: int, steps: int, weights: Callable[[int], Path]) -> None:
        """Nothing is sampled."""

    def records(self, number: int) -> list[dict[str, Any]]:
        """The records of step `number`, from 1; after the last file comes the first again."""
        return list(jsonl.read(self.paths[(number - 1) % len(self.paths)]))

    def expected(self, number: int) -> str:
        """No version: the weights of another run."""
        return ""

    def keep(self, number: int, records: list[dict[str, Any]], log_probs: LogProbs) -> None:
        """The files of another run stay as they are."""

    def trained(self, number: int, weights: Callable[[int], Path]) -> None:
        """No engine needs the weights."""

    def evaluations(self, *, all_of_them: bool = False) -> list[tuple[int, dict[str, float]]]:
        return []

    def phases(self, began: float, ended: float) -> dict[str, float]:
        return {}

    def settle(self) -> None:
        """Nothing is on its way."""


class StoredStream(Stored):
    """Sequences of a stream, of which each step takes the next `per_step`: also a schedule without an
    engine. The records wait in $TMPDIR."""

    def __init__(self, paths: Sequence[str], per_step: int) -> None:
        super().__init__(paths)
        self.per_step, self._lines = per_step, DiskList()
        for record in jsonl.read(list(paths)):
            self._lines.append(jsonl.encode(record).decode())
        if not len(self._lines):
            raise UserError(f"{paths[0]}: holds no sequences")

    def num_steps(self, epochs: float) -> int:
        """Steps that see every sequence `epochs` times; the last continues into the next epoch."""
        return max(1, -(-round(epochs * len(self._lines)) // self.per_step))

    def records(self, number: int) -> list[dict[str, Any]]:
        first = (number - 1) * self.per_step
        places = range(first, first + self.per_step)
        return [orjson.loads(self._lines[place % len(self._lines)]) for place in places]
