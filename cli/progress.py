"""The progress bar: records per second, and the time left where the input is files."""

import contextlib
import sys
import threading
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from qvl.stage import Run

from .bars import Bars

REFRESHES_PER_SECOND = 4


@contextlib.contextmanager
def bar(run: Run) -> Iterator[None]:
    """Show a line of the run on standard error, above which everything else is written until the end of
    the process: the other commands of a pipeline have their lines there, too."""
    console = Console(file=sys.stderr)
    if console.is_dumb_terminal:
        yield
        return
    columns = [TextColumn("{task.description}"), TextColumn("{task.fields[records]:,} records")]
    columns.append(TextColumn("{task.fields[rate]:,.0f}/s"))
    if run.reader.bytes_total:
        columns += [BarColumn(), TimeRemainingColumn()]
    progress = Progress(*columns, console=console)
    task = progress.add_task(
        f"qvl {run.command}", total=run.reader.bytes_total, records=0, rate=0.0
    )
    sys.stderr = bars = Bars(sys.stderr)
    done = threading.Event()
    arguments = (run, progress, task, bars, done)
    watcher = threading.Thread(target=_watch, args=arguments, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        bars.show([])


def _watch(run: Run, progress: Progress, task: TaskID, bars: Bars, done: threading.Event) -> None:
    console = progress.console
    while not done.wait(1 / REFRESHES_PER_SECOND):
        seconds = progress.tasks[0].elapsed or 1e-9
        read, total = run.reader.bytes_read, run.reader.bytes_total
        if total and read >= total:  # long before the end, where the input is small: no estimate
            progress.tasks[0].total = None
        progress.update(task, completed=read, records=run.read, rate=run.read / seconds)
        with console.capture() as shown:
            console.print(progress.get_renderable(), width=console.width - 1)
        bars.show(shown.get().splitlines())
