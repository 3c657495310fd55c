"""A command's run on standard error: progress on a terminal, one summary line; and its report."""

import contextlib
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from qvl.errors import Terminated, UserError
from qvl.io import atomic, jsonl, lineage
from qvl.stage import Run, refuse_twice

FIRST_SIGN_SECONDS = 60.0  # after which a log gets a sign of life: our choice
LONGEST_PAUSE_SECONDS = 600.0  # between two of them
CREDENTIALS = re.compile(r"(?<=//)[^/@\s]*@")


@contextlib.contextmanager
def session(
    command: str,
    files: Sequence[str] | None = None,
    output: str | None = "-",
    *,
    report: str | None = None,
    expressions: Iterable[Any] = (),
    terminal: bool = True,
    **options: Any,
) -> Iterator[Run]:
    """Open a Run of `command`, and report on standard error how it went. Options are those of Run.

    expressions: those of the user, with `fields` (qvl.streams.fields); one that no record has is told.
    terminal: say that it waits where standard input, which it reads, is a terminal.
    """
    argv = [CREDENTIALS.sub("", word) for word in sys.argv[1:] if word != "--resume"]
    run = None
    try:
        names = {"-o": output, "--rejects": options.get("rejects"), "--report": report}
        refuse_twice(names)
        run = Run(command, files, output, argv=argv, **options)
        if terminal and "-" in run.reader.paths and sys.stdin.isatty():
            say_waiting(command)
        with run, progress(run):
            yield run
            absent = [str(each.fields) for each in expressions if each.fields.absent]
            if run.read and absent:
                run.note(no_record_has=", ".join(absent))
            if folder := left_media(run, files, output):
                run.note(media_paths_are_relative_to=folder)
    except (KeyboardInterrupt, Terminated):
        hint = "; continue with --resume" if run and run.journal else ""
        print(
            f"qvl {command}: stopped after {run.read if run else 0} records{hint}", file=sys.stderr
        )
        raise
    except BrokenPipeError:
        if run:
            write_report(run.account(), report)
        raise
    account = run.account()
    print(summary(run, account["seconds"]), file=sys.stderr)
    write_report(account, report)


def left_media(run: Run, files: Sequence[str] | None, output: str | None) -> str | None:
    """The folder of the first FILE, if media paths are relative to it and the output is in another.

    The next command looks for them beside its own input, unless --media-root names this folder.
    """
    if (
        output in (None, "-")
        or not files
        or files[0] == "-"
        or type(run.reader) is not jsonl.Reader
    ):
        return None
    before, after = Path(files[0]).parent, Path(str(output)).parent
    if before.resolve() == after.resolve():
        return None
    from qvl import record
    from qvl.media import references

    found = (path for each in run.first for _, path in record.media(each))
    return str(before) if any(references.is_relative(path) for path in found) else None


def say_waiting(command: str) -> None:
    print(
        f"qvl {command}: reading records from the terminal; Ctrl-D ends them, Ctrl-C stops",
        file=sys.stderr,
    )


def summary(run: Run, seconds: float) -> str:
    """The counts of a run in one line, as cron mails it."""
    parts = [f"{run.read:,} read", f"{run.kept:,} kept"]
    if run.reasons:
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in run.reasons.most_common())
        parts.append(f"{run.reasons.total():,} rejected ({reasons})")
    if run.journal and run.journal.replayed:
        parts.append(f"{run.journal.replayed:,} resumed")
    parts += [f"{name.replace('_', ' ')} {_brief(fact)}" for name, fact in run.notes.items()]
    return f"qvl {run.command}: " + ", ".join([*parts, f"{seconds:.1f} s"])


def write_report(account: dict, path: str | None) -> None:
    if path is None:
        return
    try:
        atomic.write(Path(path), lineage.encode(account, orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise UserError(f"--report {path}: {error.strerror}") from None


@contextlib.contextmanager
def progress(run: Run) -> Iterator[None]:
    """Show rate and remaining time on a terminal. Elsewhere rich is not even imported."""
    if not sys.stderr.isatty():
        with signs_of_life(run):
            yield
        return
    if sys.stdout.isatty():  # the records are shown and not the progress
        yield
        return
    from .progress import bar

    with bar(run):
        yield


@contextlib.contextmanager
def signs_of_life(run: Run, first: float = FIRST_SIGN_SECONDS) -> Iterator[None]:
    """Say in a log how far a run is: after `first` seconds, and again after pauses that double."""
    done, began = threading.Event(), time.monotonic()

    def say() -> None:
        pause = first
        while not done.wait(pause):
            seconds = time.monotonic() - began
            facts = [f"{run.read:,} read", f"{run.kept:,} kept", f"{run.read / seconds:,.3g}/s"]
            total, read = run.reader.bytes_total or 0, run.reader.bytes_read
            if 0 < read < total:  # of a small input all is read long before the end
                left = seconds * (total / read - 1)
                facts.append(f"about {timedelta(seconds=round(left))} left")
            took = timedelta(seconds=round(seconds))
            print(
                f"qvl {run.command}: {', '.join(facts)} after {took}", file=sys.stderr, flush=True
            )
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    speaker = threading.Thread(target=say, daemon=True)
    speaker.start()
    try:
        yield
    finally:
        done.set()
        speaker.join()


def _brief(fact: Any) -> str:
    return f"{fact:.4g}" if isinstance(fact, float) else str(fact)
