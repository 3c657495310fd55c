"""Stages made of functions: keep, annotate, each, and submit_each for what endpoints do."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from qvl.pending import Pending
from qvl.stage.drop import Drop
from qvl.stage.parallel import in_window, pairs
from qvl.stage.replay import Replayed, remember
from qvl.stage.run import Run

Reject = Callable[[dict], "str | Drop | None"]
Annotate = Callable[[dict], dict]
Work = Callable[[dict], "dict | Drop"]
Submit = Callable[[dict], Pending]

WINDOW = 4  # records submitted per request in flight, so that one slow answer idles no other


def keep(run: Run, reject: Reject, *, concurrency: int = 1, jobs: int = 1) -> Iterator[dict]:
    """The records for which `reject` returns None; the others are rejected with its reason.

    `reject` must not change a record in place: it is written as it was read.
    """

    if concurrency == jobs == 1 and not run.journal:  # what `pairs` does, without its cost
        for record in run.as_read():
            reason = reject(record)
            if reason is None:
                yield record
            elif isinstance(reason, str):
                run.reject(record, reason)
            else:
                run.reject(reason.record or record, reason.reason, reason.detail)
        return

    def result(record: dict, reason: Any) -> Any:
        if reason is None:
            return record
        return Drop(reason) if isinstance(reason, str) else reason

    reasons = pairs(run, reject, records=run.as_read(), concurrency=concurrency, jobs=jobs)
    yield from _passed(run, ((record, result(record, reason)) for record, reason in reasons))


def annotate(
    run: Run, function: Annotate, *, concurrency: int = 1, jobs: int = 1
) -> Iterator[dict]:
    """Every record with what `function` adds."""
    return each(run, function, concurrency=concurrency, jobs=jobs)


def each(run: Run, work: Work, *, concurrency: int = 1, jobs: int = 1) -> Iterator[dict]:
    """What `work` returns for each record, in order; a Drop is rejected. See `pairs`."""
    return _passed(run, pairs(run, work, concurrency=concurrency, jobs=jobs))


def submit_each(
    run: Run,
    submit: Submit,
    *,
    concurrency: int,
    records: Iterable[dict] | None = None,
    watch: Callable[["dict | Drop"], None] | None = None,
) -> Iterator[dict]:
    """As `each`, for work that runs elsewhere, as in a client's event loop, and needs no threads here.

    `records`: those of the run, if they are not simply `run`. `submit` returns what has done() and
    result(), as a future has, and leaves the record as it is. `watch` sees each result in order, also
    those that are replayed, and may raise: such a result is not journaled.
    """
    return _passed(run, in_window(run, submit, WINDOW * concurrency, records=records), watch)


def _passed(
    run: Run,
    results: Iterable[tuple[dict, Any]],
    watch: Callable[["dict | Drop"], None] | None = None,
) -> Iterator[dict]:
    for record, done in results:
        result = done.outcome if isinstance(done, Replayed) else done
        if watch:
            watch(result)
        if result is done:
            remember(run, record, result)
        if isinstance(result, Drop):
            run.reject(result.record or record, result.reason, result.detail)
        else:
            yield result
