"""Drop failed answers from records, by the rules for responses or by thresholds on scores."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from qvl.record import with_scores
from qvl.stage import Drop, Run


class Failures(NamedTuple):
    """What is wrong with a record's final turn and with each of its responses; None for a sound one."""

    turn: Drop | None
    responses: list[Drop | None]
    has_turn: bool
    turn_measures: dict[str, float] | None = None  # to add to the record's `scores`
    measures: list[dict[str, float]] | None = None  # to add to those of each response
    verdict_errors: int = 0  # answers on which the verifier failed, and which are kept


Find = Callable[[dict], Failures]


def drop_failed(run: Run, judged: Iterable[tuple[dict, Failures]]) -> Iterator[dict]:
    """The records without their failed responses; those whose final turn or whose every response fails are rejected.

    Dropped responses go to the rejects in a record of the same id, with the reason "responses". Such a
    record is counted in the notes only, as the input record is kept. The notes also have verdict_errors, if
    there are any.
    """
    counts: Counter[str] = Counter()
    for bare, verdicts in judged:
        record = with_scores(bare, run.command, verdicts.turn_measures, verdicts.measures or ())
        reasons = Counter(verdict.reason for verdict in verdicts.responses if verdict)
        if verdicts.verdict_errors:
            counts["verdict_errors"] += verdicts.verdict_errors
        counts["responses_kept"] += len(verdicts.responses) - reasons.total()
        counts["responses_dropped"] += reasons.total()
        counts.update({f"responses_{reason}": n for reason, n in reasons.items()})
        drop = _of_record(verdicts)
        if drop:
            marked = _marked(record, verdicts, run.command) if reasons else record
            run.reject(marked, drop.reason, drop.detail)
        elif reasons:
            taken = [
                one
                for one in _marked(record, verdicts, run.command)["responses"]
                if "reject" in one
            ]
            detail = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common())
            run.write_reject({"id": record.get("id"), "responses": taken}, "responses", detail)
            pairs = zip(record["responses"], verdicts.responses, strict=True)
            yield {**record, "responses": [one for one, verdict in pairs if not verdict]}
        else:
            yield record
    if counts.total():
        run.note(**counts)


def _of_record(verdicts: Failures) -> Drop | None:
    if verdicts.has_turn:
        return verdicts.turn
    if not verdicts.responses:
        return Drop("no-response", "no final assistant turn and no responses")
    failed = [verdict for verdict in verdicts.responses if verdict]
    if len(failed) < len(verdicts.responses):
        return None
    if len(failed) == 1:
        return failed[0]
    ((reason, _),) = Counter(verdict.reason for verdict in failed).most_common(1)
    first = next(verdict for verdict in failed if verdict.reason == reason)
    return Drop(reason, f"all {len(failed)} responses fail; this one: {first.detail}")


def _marked(record: dict, verdicts: Failures, stage: str) -> dict:
    """The record with a `reject` on each response that failed."""
    responses = []
    for response, verdict in zip(record["responses"], verdicts.responses, strict=True):
        if verdict:
            reject = {"stage": stage, "reason": verdict.reason, "detail": verdict.detail}
            response = {**response, "reject": reject}
        responses.append(response)
    return {**record, "responses": responses}
