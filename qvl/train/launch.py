"""The ranks of one machine, for `--nproc N`: the same command N times, and one exit status."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from qvl.errors import UserError
from qvl.processes import LISTENER, end_with_parent

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 10  # for the others to end by themselves when one has failed
REPORT_SECONDS = 2.0
REPORT = "QVL_LAUNCH_REPORT"  # the file that the rank which reports an error makes


def launch(count: int, argv: Sequence[str] = ()) -> int:
    """Run `argv`, else this very command, as `count` ranks; return the first status that is not 0.

    An interrupt or SIGTERM goes on to every rank, which then saves and ends. When a rank fails, the
    others are ended.
    """
    argv = [sys.executable, *(argv or sys.argv)]
    # The socket itself, and no port that was free a moment ago.
    with socket.create_server(("127.0.0.1", 0)) as listener, _folder() as folder:
        shared = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(listener.getsockname()[1]),
            LISTENER: str(listener.fileno()),
            REPORT: str(folder / "report"),
        }
        return _launch(argv, count, shared, listener)


def as_ranks(count: int) -> int | None:
    """Run this very command as `count` ranks and return the status; None where there is only one,
    or this is one of them already."""
    return launch(count) if count > 1 and "RANK" not in os.environ else None


def checks_settings() -> bool:
    """Whether this process checks the settings of a run for all of its ranks: the one that starts them,
    or rank 0 where something else did, such as torchrun."""
    return "RANK" not in os.environ or (is_first() and LISTENER not in os.environ)


def is_first() -> bool:
    """Whether this is rank 0, or a process alone."""
    return os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def one_rank_reports() -> Iterator[None]:
    """Of the ranks that meet a UserError, the first one reports it for all. What the others meet
    then, when they wait for one that is gone, is not reported."""
    report = Path(os.environ[REPORT]) if REPORT in os.environ else None
    try:
        yield
    except UserError as error:
        if report and not _claimed(report, error.status):
            raise ReportedElsewhere(error.status) from None
        raise
    except Exception:
        status = _reported_status(report) if report else None
        if status is not None:
            raise ReportedElsewhere(status) from None
        raise


class ReportedElsewhere(UserError):
    """An error that another rank has reported."""

    def __init__(self, status: int) -> None:
        super().__init__("")
        self.status = status


def _claimed(report: Path, status: int) -> bool:
    """Whether this rank is the first to report the status of an error."""
    own = report.with_name(f"{report.name}.{os.getpid()}")
    own.write_text(str(status))
    try:
        os.link(own, report)  # whole at once, and once
    except FileExistsError:
        return False
    return True


def _reported_status(report: Path) -> int | None:
    """The status that another rank reports, at once or in a moment: it leaves the world before."""
    until = time.monotonic() + REPORT_SECONDS
    while not report.exists() and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    return int(report.read_text()) if report.exists() else None


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="qvl-") as folder:
        yield Path(folder)


def _launch(argv: list[str], count: int, shared: dict[str, str], listener: socket.socket) -> int:
    ranks = [
        subprocess.Popen(
            argv,
            env={
                **os.environ,
                **shared,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(count),
                "LOCAL_WORLD_SIZE": str(count),
                "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(_threads(count))),
            },
            preexec_fn=lambda: end_with_parent(signal.SIGTERM),  # also of a launcher that is killed
            stdin=subprocess.DEVNULL,
            pass_fds=() if rank else (listener.fileno(),),
            start_new_session=True,  # a terminal's Ctrl-C comes once, through pass_on
        )
        for rank in range(count)
    ]

    def pass_on(number: int, frame: FrameType | None) -> None:
        for rank in ranks:
            if rank.poll() is None:
                rank.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return _wait(ranks)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(ranks: list[subprocess.Popen]) -> int:
    status, failed = 0, None
    while any(rank.poll() is None for rank in ranks):
        time.sleep(POLL_SECONDS)
        status = status or next((rank.returncode for rank in ranks if rank.returncode), 0)
        if status and failed is None:
            failed = time.monotonic()
        if failed is not None and time.monotonic() - failed > PATIENCE_SECONDS:
            for rank in ranks:  # a rank alone would wait for the others for ever
                rank.kill()
    status = status or next((rank.returncode for rank in ranks if rank.returncode), 0)
    return 128 - status if status < 0 else status


def _threads(count: int) -> int:
    return max(1, (os.cpu_count() or 1) // count)
