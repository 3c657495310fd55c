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
PATIENCE_SECONDS = 10  # for the others to end by themselves when one has ended badly
VOICE_SECONDS = 2.0
VOICE = "QVL_LAUNCH_VOICE"  # the file that the rank which tells of an error makes


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
            VOICE: str(folder / "voice"),
        }
        return _launch(argv, count, shared, listener)


def as_ranks(count: int) -> int | None:
    """Run this very command as `count` ranks and return the status, where it is none of them yet
    and they are several; else None."""
    return launch(count) if count > 1 and "RANK" not in os.environ else None


def is_first() -> bool:
    """Whether this is rank 0, or a process alone."""
    return os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def ranks_told_by_one() -> Iterator[None]:
    """Of the ranks that meet an error of the user's, the first one tells it for all. What the
    others meet then, when they wait for one that is gone, is not told."""
    voice = Path(os.environ[VOICE]) if VOICE in os.environ else None
    try:
        yield
    except UserError as error:
        if voice and not _claimed(voice, error.status):
            raise Untold(error.status) from None
        raise
    except Exception:
        status = _told_status(voice) if voice else None
        if status is not None:
            raise Untold(status) from None
        raise


class Untold(UserError):
    """An error that another rank has told."""

    def __init__(self, status: int) -> None:
        super().__init__("")
        self.status = status


def _claimed(voice: Path, status: int) -> bool:
    """Whether this rank is the first that says an error's status."""
    own = voice.with_name(f"{voice.name}.{os.getpid()}")
    own.write_text(str(status))
    try:
        os.link(own, voice)  # whole at once, and once
    except FileExistsError:
        return False
    return True


def _told_status(voice: Path) -> int | None:
    """What another rank says or will have said in a moment: it leaves the world before."""
    until = time.monotonic() + VOICE_SECONDS
    while not voice.exists() and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    return int(voice.read_text()) if voice.exists() else None


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
