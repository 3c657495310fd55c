"""Run a process: feed its input, read its output, enforce its limits, and never block."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from qvl.sandbox import processes
from qvl.sandbox.limits import Limits, Status

WATCH_SECONDS = 0.05  # between measurements of memory and processor time
END_SECONDS = 5.0  # a killed tree ends within milliseconds; longer is an error
CHUNK = 1 << 16


class SandboxError(RuntimeError):
    """The sandbox itself failed, not the program in it, so there is no outcome."""


@dataclass
class Ended:
    """A process that has ended, by itself or by `limit`."""

    returncode: int
    stdout: bytes
    stderr: bytes
    seconds: float
    limit: Status | None
    report: list[dict] = field(default_factory=list)
    """The JSON objects, one per line, from the report pipe."""


class Supervised:
    """One process from start to end, run by the thread that calls `wait`."""

    def __init__(
        self,
        command: Sequence[str],
        stdin: bytes,
        limits: Limits,
        *,
        environment: dict[str, str],
        folder: str,
        pass_fds: Sequence[int] = (),
        report_fd: int | None = None,
        group: bool = False,
    ):
        """Start `command`.

        report_fd: the read end of a pipe whose other end is in pass_fds. The "child-pid" of its first
        object is the root of the tree to measure and kill.
        group: start a process group, and kill it as a whole.
        """
        self.limits, self.group = limits, group
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=folder,
            pass_fds=pass_fds,
            bufsize=0,
            start_new_session=group,
        )
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.exit_fd = os.pidfd_open(self.process.pid)
        self.root_fd: int | None = None
        self.root: int | None = self.process.pid if report_fd is None else None
        self.input = memoryview(stdin)
        self.limit: Status | None = None
        self.stdin, self.exited = self.process.stdin.fileno(), False
        self.read: dict[int, bytearray] = {
            self.process.stdout.fileno(): bytearray(),
            self.process.stderr.fileno(): bytearray(),
        }
        self.report_fd = report_fd
        if report_fd is not None:
            self.read[report_fd] = bytearray()
        self.selector = selectors.DefaultSelector()
        for fd in (self.exit_fd, *self.read):
            os.set_blocking(fd, False)
            self.selector.register(fd, selectors.EVENT_READ)
        self.open = set(self.read)
        os.set_blocking(self.stdin, False)
        self.selector.register(self.stdin, selectors.EVENT_WRITE)

    def wait(self) -> Ended:
        """Return once every process of the tree has ended."""
        try:
            self._until_end()
        finally:
            self._kill()
            seconds = time.monotonic() - self.begin
            returncode = self._reap()
            self._close()
        stdout, stderr, *reports = self.read.values()
        report = [json.loads(line) for line in bytes(reports[0]).splitlines()] if reports else []
        return Ended(returncode, bytes(stdout), bytes(stderr), seconds, self.limit, report)

    def _until_end(self) -> None:
        deadline = self.begin + self.limits.wall_seconds
        look = self.begin + WATCH_SECONDS
        killed: float | None = None
        while not self.exited or self.open:
            now = time.monotonic()
            if killed is not None:
                if now > killed + END_SECONDS:
                    raise SandboxError("a process outlived the end of its sandbox")
            elif now >= deadline:
                self.limit = self.limit or "timeout"
            elif now >= look:
                self.limit = self.limit or self._over()
                look = now + WATCH_SECONDS
            if killed is None and (self.exited or self.limit):
                self._kill()
                killed = now
            until = min(look, deadline) if killed is None else killed + END_SECONDS
            self._turn(max(0.0, until - now))

    def _turn(self, seconds: float) -> None:
        """Serve the pipes that are ready, or wait for one of them."""
        for key, _ in self.selector.select(seconds):
            fd = key.fd
            if fd == self.exit_fd:
                self.exited = True
                self.selector.unregister(fd)
            elif fd == self.stdin:
                self._feed()
            else:
                self._take(fd)

    def _feed(self) -> None:
        try:
            written = os.write(self.stdin, self.input[:CHUNK]) if self.input else 0
        except BlockingIOError:
            return
        except BrokenPipeError:  # it may close its input early
            written = len(self.input)
        self.input = self.input[written:]
        if not self.input:
            self.selector.unregister(self.stdin)
            assert self.process.stdin
            self.process.stdin.close()

    def _take(self, fd: int) -> None:
        data = os.read(fd, CHUNK)
        kept = self.read[fd]
        if not data:
            self.open.discard(fd)
            self.selector.unregister(fd)
        elif fd == self.report_fd:
            kept += data
            if self.root is None and b"\n" in kept:
                self._watch(json.loads(kept.split(b"\n", 1)[0])["child-pid"])
        else:
            room = self.limits.output_bytes - len(kept)
            kept += data[:room]
            if len(data) > room:
                self.limit = self.limit or "output"

    def _watch(self, root: int) -> None:
        """Open a descriptor of the process, which stays valid if its id is reused."""
        with contextlib.suppress(ProcessLookupError):  # already ended
            self.root_fd = os.pidfd_open(root)
        self.root = root

    def _over(self) -> Status | None:
        """The limit that the tree of processes exceeds, if any."""
        if self.root is None or self.exited:
            return None
        used = processes.usage(self.root, self.limits.memory_bytes)
        if used.memory_bytes > self.limits.memory_bytes:
            return "memory"
        return "timeout" if used.cpu_seconds > self.limits.cpu_seconds else None

    def _kill(self) -> None:
        """Kill the root: its namespace ends with it, and its parent then reaps it and ends."""
        with contextlib.suppress(ProcessLookupError):
            if self.group:
                os.killpg(self.process.pid, signal.SIGKILL)
            elif self.root_fd is not None:
                signal.pidfd_send_signal(self.root_fd, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self.exit_fd, signal.SIGKILL)

    def _reap(self) -> int:
        try:
            return self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _close(self) -> None:
        self.selector.close()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream
            stream.close()
        for fd in (self.exit_fd, self.root_fd, self.report_fd):
            if fd is not None:
                os.close(fd)
