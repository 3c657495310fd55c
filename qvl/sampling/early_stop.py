"""Sampling that stops once it is settled whether a query is hard: `qvl generate --early-stop RATE`.

The class is that of `qvl filter-difficulty --max-pass-rate RATE`, which the samples asked for give as
all would have given it; see qvl.sampling.rounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qvl.client import Client
from qvl.pending import Pending, Ready
from qvl.reward.verdict import judge, unverifiable, with_verdict
from qvl.sampling.rounds import Judged, Rounds, Tally, sizes
from qvl.sampling.samples import SamplingConfig, problem, prompt, stopped
from qvl.stage import Drop

ROUNDS = 4  # our choice


@dataclass(kw_only=True)
class EarlyStop:
    """Asks for a record's samples a quarter at a time, and judges them by the verifier of its task."""

    client: Client
    asking: SamplingConfig
    max_pass_rate: float
    verifier: str | None = None
    """For all records, in place of each task's own."""
    stop: bool = True
    """End at a record that cannot be asked."""
    saved: int = 0
    """samples that were not asked for"""

    def submit(self, record: dict) -> Pending:
        """The record with its new responses and their verdicts, to come; or a Drop.

        What no verifier can judge has no class, and gets all its samples without a verdict.
        """
        asked = {**record, "messages": prompt(record)}
        drop = problem(asked)
        if drop is not None:
            return Ready(Drop(drop.reason, drop.detail, record))
        had = record.get("responses") or []
        judged = unverifiable(record, self.verifier) is None
        return Rounds(
            asked,
            self.client,
            self.asking,
            sizes(self.asking.num_samples, ROUNDS if judged else 1),
            self.max_pass_rate,
            (lambda response: judge(record, response, self.verifier)) if judged else None,
            lambda tally, found: self._ended(record, had, tally, found),
            lambda refused: Drop("refused", str(refused), record),
            len(had),
        )

    def watch(self, result: dict | Drop) -> None:
        """Raise for a record that could not be asked, where that is to end the run."""
        if self.stop and isinstance(result, Drop):
            record: Any = result.record
            stopped(record, result)

    def _ended(self, record: dict, had: list[dict], tally: Tally, found: Sequence[Judged]) -> dict:
        self.saved += tally.total - len(found)
        answers = [with_verdict(each, verdict) if verdict else each for each, verdict in found]
        return {**record, "responses": [*had, *answers]}
