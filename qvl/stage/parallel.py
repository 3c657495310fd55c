"""Work on several records at once, with the results in the order of the records.

What is read ahead is bounded, so an endless stream is fine.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import orjson

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.pending import Pending, Steps
from qvl.stage.replay import Replayed, replayed
from qvl.stage.run import Run


def pairs(
    run: Run,
    work: Callable[[dict], Any],
    *,
    records: Iterable[dict] | None = None,
    concurrency: int = 1,
    jobs: int = 1,
) -> Iterator[tuple[dict, Any]]:
    """Each record with the result of `work`, or with what is Replayed of it.

    `records`: those of the run, if they are not simply `run`.
    `concurrency`: threads, which suit waiting. `jobs`: processes, which suit computing; `work` must be
    picklable, and its results are best small.
    """
    records = run if records is None else records
    if jobs > 1:
        yield from _in_processes(run, records, work, jobs)
        return
    if concurrency == 1:
        for record in records:
            # The journal's key is taken of a copy: `work` may add to the record in place.
            yield (_copy(record) if run.journal else record), replayed(run, record) or work(record)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(concurrency)
    try:
        submit = partial(pool.submit, work)
        yield from in_window(run, submit, 2 * concurrency, records=records)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def in_window(
    run: Run,
    submit: Callable[[dict], Pending],
    most: int,
    *,
    records: Iterable[dict] | None = None,
) -> Iterator[tuple[dict, Any]]:
    """Each record with the result of what was submitted; at most `most` are pending at once."""
    window: deque[tuple[dict, Pending]] = deque()
    steps = Steps()
    for record in run if records is None else records:
        original = _copy(record) if run.journal else record
        pending = replayed(run, record) or _submitted(submit, record)
        window.append((original, pending))
        steps.add(pending)
        while window and (len(window) >= most or window[0][1].done()):
            steps.advance()
            yield _first(window)
    while window:
        steps.advance()
        yield _first(window)


def _submitted(submit: Callable[[dict], Pending], record: dict) -> Pending:
    try:
        return submit(record)
    except UserError as error:
        return _Failed(error)


class _Failed(NamedTuple):
    """A record that could not be submitted; the error is raised in its turn, after earlier records."""

    error: Exception

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        raise self.error


def _first(window: "deque[tuple[dict, Pending]]") -> tuple[dict, Any]:
    record, pending = window.popleft()
    return record, pending.result()


def _in_processes(
    run: Run, records: Iterable[dict], work: Callable[[dict], Any], jobs: int
) -> Iterator[tuple[dict, Any]]:
    from qvl.processes import ordered

    def prepared() -> Iterator[tuple[dict, Replayed | None]]:
        for record in records:
            yield record, replayed(run, record)

    yield from ordered(prepared(), work, jobs)


def _copy(record: dict) -> dict:
    return orjson.loads(jsonl.encode(record))
