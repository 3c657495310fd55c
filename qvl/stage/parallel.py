"""Work on several records at once, with the results in the order of the records.

What is read ahead is bounded, so an endless stream is fine.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.pending import Pending, Steps
from qvl.stage.replay import Replayed, replayed
from qvl.stage.run import Run


def pairs(
    run: Run, work: Callable[[dict], Any], *, concurrency: int = 1, jobs: int = 1
) -> Iterator[tuple[dict, Any]]:
    """Each record with the result of `work`, or with what is Replayed of it.

    `concurrency`: threads, which suit waiting. `jobs`: processes, which suit computing; `work` must be
    picklable, and its results are best small.
    """
    if jobs > 1:
        yield from _in_processes(run, work, jobs)
        return
    if concurrency == 1:
        for record in run:
            # The journal's key is taken of a copy: `work` may add to the record in place.
            yield (_copy(record) if run.journal else record), replayed(run, record) or work(record)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(concurrency)
    try:
        yield from in_window(run, lambda record: pool.submit(work, record), 2 * concurrency)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def in_window(run: Run, submit: Callable[[dict], Pending], most: int) -> Iterator[tuple[dict, Any]]:
    """Each record with the result of what was submitted; at most `most` are pending at once."""
    window: deque[tuple[dict, Pending]] = deque()
    steps = Steps()
    for record in run:
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


def _in_processes(run: Run, work: Callable[[dict], Any], jobs: int) -> Iterator[tuple[dict, Any]]:
    from qvl.processes import ordered

    def prepared() -> Iterator[tuple[dict, Replayed | None]]:
        for record in run:
            yield record, replayed(run, record)

    yield from ordered(prepared(), work, jobs)


def _copy(record: dict) -> dict:
    return orjson.loads(jsonl.encode(record))
