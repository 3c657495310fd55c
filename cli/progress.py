"""The progress bar: records per second, and the time left where the input is files."""

import contextlib
import threading
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from qvl.stage import Run

REFRESHES_PER_SECOND = 4


@contextlib.contextmanager
def bar(run: Run) -> Iterator[None]:
    columns = [TextColumn("{task.description}"), TextColumn("{task.fields[records]:,} records")]
    columns.append(TextColumn("{task.fields[rate]:,.0f}/s"))
    if run.reader.bytes_total:
        columns += [BarColumn(), TimeRemainingColumn()]
    progress = Progress(
        *columns,
        console=Console(stderr=True),
        refresh_per_second=REFRESHES_PER_SECOND,
        transient=True,
    )
    with progress:
        task = progress.add_task(
            f"qvl {run.command}", total=run.reader.bytes_total, records=0, rate=0.0
        )
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(run, progress, task, done), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _watch(run: Run, progress: Progress, task: TaskID, done: threading.Event) -> None:
    while not done.wait(1 / REFRESHES_PER_SECOND):
        seconds = progress.tasks[0].elapsed or 1e-9
        progress.update(
            task, completed=run.reader.bytes_read, records=run.read, rate=run.read / seconds
        )
