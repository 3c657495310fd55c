"""What an interrupted run made of a record, read from its journal when the run is resumed."""

from typing import NamedTuple

from qvl.stage.drop import Drop
from qvl.stage.run import Run


class Replayed(NamedTuple):
    """The result that a record had in the interrupted run (a qvl.pending.Pending)."""

    outcome: dict | Drop

    def done(self) -> bool:
        return True

    def result(self) -> "Replayed":
        return self


def replayed(run: Run, record: dict) -> Replayed | None:
    """The result of the interrupted run; None where it had none, or where nothing is resumed."""
    row = run.journal.replay(record) if run.journal else None
    if row is None:
        return None
    return Replayed(Drop(*row["drop"]) if "drop" in row else row["out"])


def remember(run: Run, record: dict, result: dict | Drop) -> None:
    """Add a result to the journal, where the run keeps one."""
    if not run.journal:
        return
    if not isinstance(result, Drop):
        run.journal.add(record, {"out": result})
        return
    drop = [result.reason, result.detail]
    run.journal.add(record, {"drop": drop if result.record is None else [*drop, result.record]})
