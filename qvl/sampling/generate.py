"""What `qvl generate` does to a record: sample it, all at once or until it is settled how hard it is.

With --early-stop RATE the samples come in rounds (qvl.sampling.rounds), and the record's class is that
of `qvl filter-difficulty --max-pass-rate RATE`, which some samples give as all would have given it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from qvl.client import Client, Refused
from qvl.pending import Pending, Ready
from qvl.reward.verdict import judge, unverifiable, with_verdict
from qvl.sampling.rounds import Judged, PassCount, Rounds, sizes
from qvl.sampling.samples import Samples, SamplingConfig, problem, stop_at, submit
from qvl.stage import Drop

ROUNDS = 4  # our choice


@dataclass(kw_only=True)
class Generate:
    """Adds samples to the responses of records."""

    client: Client
    config: SamplingConfig
    max_pass_rate: float | None = None
    """Stop sampling a record once it is settled whether more than this rate pass; None never stops."""
    verifier: str | None = None
    """For all records, in place of each task's own."""
    stop: bool = True
    """End the run at a record that cannot be sampled."""
    saved: int = 0
    """samples that were not requested"""

    def submit(self, record: dict) -> Pending:
        """The record with its new responses, to come; a Drop where it cannot be sampled.

        Early stopping needs verdicts, which are kept. A record that no verifier can judge has no class
        and gets all its samples without a verdict.
        """
        drop = problem(record)
        if drop is not None:
            return Ready(drop._replace(record=record))
        had = record.get("responses") or []
        if self.max_pass_rate is None or unverifiable(record, self.verifier) is not None:
            return _WithSamples(record, submit(record, self.client, self.config, len(had)))
        return Rounds(
            record,
            self.client,
            self.config,
            sizes(self.config.num_samples, ROUNDS),
            self.max_pass_rate,
            lambda response: judge(record, response, self.verifier),
            lambda count, samples: self._finished(record, count, samples),
            first=len(had),
        )

    def watch(self, result: dict | Drop) -> None:
        """UserError for a record that could not be sampled, where that is to end the run."""
        if self.stop and isinstance(result, Drop):
            stop_at(result.record, result)

    def _finished(self, record: dict, count: PassCount, samples: Sequence[Judged]) -> dict:
        self.saved += count.total - len(samples)
        return _extended(record, [with_verdict(response, verdict) for response, verdict in samples])


class _WithSamples(NamedTuple):
    """A record whose samples are all requested."""

    record: dict
    samples: Samples

    def done(self) -> bool:
        return self.samples.done()

    def result(self) -> dict | Drop:
        try:
            return _extended(self.record, self.samples.result())
        except Refused as refused:
            return Drop("refused", str(refused), self.record)


def _extended(record: dict, responses: list[dict[str, Any]]) -> dict:
    return {**record, "responses": [*(record.get("responses") or []), *responses]}
