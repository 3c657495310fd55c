"""One replica: a `qvl serve` on loopback in a process of its own."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from qvl.processes import end_with_parent

STEADY_SECONDS = 10.0  # a replica that was up for so long counts as healthy: our choice
LAST_LOG_SECONDS = 0.5  # between the end of a process and the end of its log
LOG_LINES = 8
ERROR_PREFIX = "qvl: error: "


class Replica:
    """One engine: its process, its state, and the number of its requests."""

    def __init__(
        self, number: int, command: Sequence[str], variables: dict[str, str], ready_file: Path
    ) -> None:
        """variables: added to the environment of its process."""
        self.number, self.command, self.variables = number, command, variables
        self.ready_file = ready_file
        self.in_flight = self.num_requests = 0
        self.failures = 0  # in a row: ends before it was up for STEADY_SECONDS
        self.failed_starts = 0  # the last of these: ends before it could take a request
        self.facts: dict[str, Any] | None = None  # the content of its ready file
        self.is_prepared = False  # it has the state of the others, and may take requests
        self._ready_since = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._log_tail: deque[str] = deque(maxlen=LOG_LINES)

    def start(self) -> None:
        """Start its process. OSError if the machine cannot."""
        self.facts, self.is_prepared = None, False
        self._log_tail.clear()
        self.ready_file.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [*self.command, "--host", "127.0.0.1", "--port", "0", "--ready-file", self.ready_file],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **self.variables},
            start_new_session=True,  # a terminal's Ctrl-C reaches it once, through us
            preexec_fn=lambda: end_with_parent(signal.SIGTERM),  # also if we are killed
        )
        self._log = threading.Thread(
            target=self._forward_log, args=(self._process.stderr,), daemon=True
        )
        self._log.start()

    @property
    def is_up(self) -> bool:
        """Whether it may take requests."""
        return self.is_prepared and self.status() is None

    @property
    def endpoint(self) -> str:
        assert self.facts
        return self.facts["endpoint"]

    def status(self) -> int | None:
        """The exit status of its process; None while it runs."""
        return self._process.poll() if self._process else 0

    def signal(self, number: int) -> None:
        """Send a signal to its process."""
        if self._process:
            self._process.send_signal(number)

    def becomes_ready(self) -> bool:
        """Whether it has become ready since the last call."""
        if self.facts is None and self.ready_file.exists():
            self.facts = orjson.loads(self.ready_file.read_bytes())
            self._ready_since = time.monotonic()
            return True
        return False

    def count_end(self) -> None:
        """Count the end of its process as a failure, in a row with earlier ones or not."""
        was_steady = (
            self.facts is not None and time.monotonic() - self._ready_since > STEADY_SECONDS
        )
        self.failures = 1 if was_steady else self.failures + 1
        self.failed_starts = 0 if self.is_prepared else self.failed_starts + 1

    def exit_reason(self) -> str:
        """Why its process ended: its own error message if there was one, else the exit status."""
        self._log.join(LAST_LOG_SECONDS)
        lines = reversed(self._log_tail)
        error = next((line for line in lines if line.startswith(ERROR_PREFIX)), None)
        if error:
            return error.removeprefix(ERROR_PREFIX)
        status = self.status() or 0
        return f"it ended by signal {-status}" if status < 0 else f"it ended with status {status}"

    def _forward_log(self, pipe: Any) -> None:
        """Copy its log to standard error, but for the lines that we report ourselves."""
        with pipe:
            for line in pipe:
                self._log_tail.append(line.decode("utf-8", "replace").rstrip("\n"))
                if not line.startswith((ERROR_PREFIX.encode(), b"qvl serve: ")):
                    with contextlib.suppress(BrokenPipeError):  # nobody reads
                        os.write(2, line)
