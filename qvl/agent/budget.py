"""How many calls a task deserves: a judge's estimate, made once and kept on the record (report 4.5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

from qvl.judge import Judge, Judgment, material
from qvl.pending import Gather, Pending, Ready
from qvl.record import with_scores
from qvl.stage import Drop

STAGE = "agent-budget"
NEEDED = "calls_needed"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Adds `calls_needed` to records that have none."""

    judges: Sequence[Judge]
    samples: int = 1
    """Estimates of each judge; the lower median counts, so that doubt does not buy calls."""
    again: bool = False
    """Replace what a record says."""

    def submit(self, record: dict) -> Pending:
        """The record with its estimate, to come; without one where every reply failed."""
        if NEEDED in record and not self.again:
            return Ready(record)
        sections = material.conversation(record)  # not the reference: what is asked decides
        judgments = [
            judge.submit(f"{record.get('id')}/budget", sections, sample)
            for judge in self.judges
            for sample in range(self.samples)
        ]

        def combine(found: list[Judgment]) -> dict:
            calls = [int(each.values["calls"]) for each in found if not each.error]
            errors = len(found) - len(calls)
            row: dict = {"errors": errors} if errors else {}
            if not calls:
                return with_scores(record, STAGE, row)
            row = {"calls": calls, "spread": max(calls) - min(calls), **row}
            return {**with_scores(record, STAGE, row), NEEDED: median_low(calls)}

        return Gather(judgments, combine)

    def counts(self, result: dict | Drop) -> tuple[int, int, str]:
        """1 estimate, whether it failed, and the record's name."""
        if isinstance(result, Drop):
            return 0, 0, ""
        return 1, int(NEEDED not in result), f"record {result.get('id')!r}"
