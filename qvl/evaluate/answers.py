"""From a record to its answers, and from answers to verdicts."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from qvl.client import Client, Refused
from qvl.pending import Pending, Ready
from qvl.reward.time_limit import VERDICT_SECONDS
from qvl.reward.verdict import is_threadsafe, judge, unverifiable, with_verdict
from qvl.sampling import samples
from qvl.stage import Drop


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Samples answers to records and judges them; `submit` is work for qvl.stage.submit_each."""

    client: Client
    config: samples.SamplingConfig
    verifier: str | None = None
    """For all records, in place of each task's own."""
    seconds: float = VERDICT_SECONDS
    """Time limit of a verdict."""
    stop: bool = True
    """Raise for a record that cannot be evaluated, in place of dropping it."""
    pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(os.cpu_count(), "verdict")
    )
    """For verdicts that wait for a process: of programs, and of a user's function."""

    def submit(self, record: dict) -> Pending:
        """The record with its responses and their verdicts, or a Drop, to come."""
        drop = problem(record, self.verifier, self.seconds)
        if drop is not None:
            return Ready(self.dropped(record, drop))
        return _Evaluation(self, record, samples.submit(record, self.client, self.config))

    def dropped(self, record: dict, drop: Drop) -> Drop:
        """The same; UserError where that is to end the run."""
        if self.stop:
            samples.stop_at(record, drop)
        return drop


class _Evaluation:
    """A record's answers to come, each judged as soon as all are there (qvl.pending.Stepwise)."""

    def __init__(self, evaluator: Evaluator, record: dict, drawn: samples.Samples) -> None:
        self._evaluator, self._record, self._drawn = evaluator, record, drawn
        self._responses: list[dict] = []
        self._verdicts: list[Pending] | None = None
        self._refused: Refused | None = None

    def done(self) -> bool:
        return self._drawn.done()

    def advance(self) -> bool:
        """Begin the verdicts; in the main thread, where an alarm can keep their time."""
        if self._verdicts is None and self._drawn.done():
            self._begin_verdicts()
        return self._verdicts is not None

    def result(self) -> dict | Drop:
        if self._verdicts is None:
            self._begin_verdicts()
        if self._refused:
            return self._evaluator.dropped(self._record, Drop("refused", str(self._refused)))
        pairs = zip(self._responses, self._verdicts or (), strict=True)
        return {
            **self._record,
            "responses": [with_verdict(one, verdict.result()) for one, verdict in pairs],
        }

    def _begin_verdicts(self) -> None:
        self._verdicts = []
        try:
            self._responses = self._drawn.result()
        except Refused as refused:
            self._refused = refused
            return
        run = self._evaluator
        for response in self._responses:
            given = (self._record, response, run.verifier, run.seconds)
            if is_threadsafe(self._record, run.verifier):
                self._verdicts.append(run.pool.submit(judge, *given))
            else:
                self._verdicts.append(Ready(judge(*given)))


def problem(
    record: dict, verifier: str | None = None, seconds: float = VERDICT_SECONDS
) -> Drop | None:
    """Why a record cannot be evaluated, found before a token is spent."""
    unasked = samples.problem(record)
    if unasked:
        return unasked
    reason = unverifiable(record, verifier, seconds)
    return Drop("unverifiable", reason) if reason else None
