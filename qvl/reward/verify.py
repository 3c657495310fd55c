"""Judge all responses of records, and count the verdicts: the work of `qvl verify`."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qvl.error_rate import MAX_ERROR_RATE, ErrorRate
from qvl.errors import UserError
from qvl.reward import hybrid
from qvl.reward.time_limit import VERDICT_SECONDS
from qvl.reward.verdict import judge, with_verdicts


@dataclass(frozen=True)
class Verify:
    """Adds reward, rewards and verdict to each of a record's responses; can be pickled."""

    verifier: str | None = None
    """The verifier of all records, in place of that of each task."""
    seconds: float = VERDICT_SECONDS
    """Time limit of a verdict."""
    partial: bool = False
    """For code: reward the share of the tests that passed, in place of 0 or 1."""
    unsafe_local: bool = False
    """For code: run without isolation where the machine offers none."""
    stage: str | None = None
    """A name in hybrid.STAGES, for rewards of several parts."""
    penalties: Mapping[str, float] = field(default_factory=dict)
    """The weights of further penalties, by name."""

    def __call__(self, record: dict) -> dict:
        if not (self.stage or self.penalties):
            return self.verified(record)
        wanted = hybrid.parts(record, self.stage, self.penalties)
        for name in (hybrid.JUDGE, hybrid.SCORE):
            if name in wanted:
                raise UserError(hybrid.unjudged(record, name))
        done = self.verified(record)
        return {
            **done,
            "responses": [self.weighed(record, one, wanted) for one in done["responses"]],
        }

    def weighed(self, record: dict, response: dict, wanted: hybrid.Parts) -> dict:
        """The response with the weighted sum of its parts as reward; those of models must be present."""
        return hybrid.combined(hybrid.penalised(record, response, wanted), wanted)

    def verified(self, record: dict) -> dict:
        """The record with its verifier's verdict on each response."""
        options = {"partial": self.partial, "unsafe_local": self.unsafe_local}
        return with_verdicts(
            record, lambda each: judge(record, each, self.verifier, self.seconds, options)
        )


class Totals:
    """Counts the verdicts of a stream; too many errors stop the run (qvl.error_rate)."""

    def __init__(self, max_error_rate: float = MAX_ERROR_RATE) -> None:
        self.statuses: Counter[str] = Counter()
        self.rewarded, self.sum = 0, 0.0
        self._rate = ErrorRate(max_error_rate)

    def watch(self, records: Iterable[dict], note: Callable[..., None]) -> Iterator[dict]:
        """The records unchanged; at the end calls `note` with the totals. CheckFailed for too many errors."""
        for record in records:
            self._add(record)
            yield record
        self._rate.check()
        facts: dict[str, Any] = {"responses": self.statuses.total()}
        facts |= {status: self.statuses[status] for status in ("ok", "timeout", "error")}
        if self.rewarded:
            facts["mean_reward"] = self.sum / self.rewarded
        note(**facts)

    def _add(self, record: dict) -> None:
        errors, first = 0, ""
        for response in record["responses"]:
            verdict = response["verdict"]
            self.statuses[verdict["status"]] += 1
            if response["reward"] is None:
                errors += 1
                first = first or f"record {record.get('id')!r}: {verdict['detail']}"
            else:
                self.rewarded += 1
                self.sum += response["reward"]
        self._rate.add(len(record["responses"]), errors, first)
