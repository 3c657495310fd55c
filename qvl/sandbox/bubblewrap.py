"""Isolation: bubblewrap creates the namespaces, prlimit sets the limits, a shell is process 1."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from qvl.sandbox import seccomp
from qvl.sandbox.limits import Limits
from qvl.sandbox.supervise import Ended, SandboxError, Supervised

NOBODY = 65534  # root is exempt from the limit on processes, so root's sandboxes run as this user
FILES = "/job"  # the folder of the program's files, read-only
ENVIRONMENT = {  # of every program
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",  # reproducible verdicts
    "MALLOC_ARENA_MAX": "1",  # else each thread reserves 64 MiB of the limited address space
}
PRLIMIT = "/usr/bin/prlimit"  # inside the sandbox
_SHELL = '"$@"; exit $?'  # `exit` keeps the shell from replacing itself with the program


@dataclass(frozen=True)
class Probe:
    """What the sandbox can do on this machine."""

    isolated: bool
    """Whether a program ran in isolation."""
    reason: str
    """Why not, and what to do; "" if it works."""
    python: str = ""
    """The Python interpreter in the sandbox."""
    user: int = 0
    """The user id that programs have outside the sandbox."""
    seccomp: bool = False
    """Whether system calls are filtered."""
    scratch: bool = False
    """Whether /tmp is writable, within a limit."""
    version: str = ""
    """The version of bubblewrap."""


def isolate(
    command: Sequence[str],
    stdin: bytes,
    limits: Limits,
    files: Mapping[str, bytes],
    found: Probe,
) -> Ended:
    """Run a command in a sandbox of its own. SandboxError if that cannot be created."""
    with contextlib.ExitStack() as stack:
        report, status = os.pipe()
        stack.enter_context(_closing(status))
        passed = [status]
        options = ["--json-status-fd", str(status)]
        for name, data in files.items():
            fd = stack.enter_context(_closing(_in_memory(data)))
            passed.append(fd)
            options += ["--file", str(fd), f"{FILES}/{name}"]
        if found.seccomp:
            fd = stack.enter_context(_closing(_in_memory(seccomp.program())))
            passed.append(fd)
            options += ["--seccomp", str(fd)]
        line = [
            *_as_user(found.user),
            tool("bwrap"),
            *_namespaces(),
            *_file_system(found, limits),
            *options,
            "--remount-ro",
            "/",
            "--",
            *_limited(limits),
            "/bin/sh",
            "-c",
            _SHELL,
            "sh",
            *command,
        ]
        try:
            supervised = Supervised(
                line,
                stdin,
                limits,
                environment=ENVIRONMENT,
                folder="/",
                pass_fds=passed,
                report_fd=report,
            )
        except BaseException:
            os.close(report)
            raise
    ended = supervised.wait()
    if ended.limit is None and not any("exit-code" in line for line in ended.report):
        last_line = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise SandboxError(" ".join(last_line) or f"bwrap ended with status {ended.returncode}")
    return ended


@cache
def tool(name: str) -> str:
    """The path of a program that `probe` has found."""
    path = shutil.which(name)
    assert path
    return path


def _as_user(user: int) -> list[str]:
    """The command that changes the user; Popen(user=...) would fork this process with its memory."""
    if os.geteuid() == user:
        return []
    return [tool("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]


def _namespaces() -> list[str]:
    return [
        "--unshare-all",  # user, PID, network, mounts, IPC, host name, control groups
        "--die-with-parent",
        "--new-session",  # no access to the terminal
        "--as-pid-1",  # bwrap reaps its child; else process 1 of a container would have to
        "--hostname",
        "sandbox",
    ]


def _file_system(found: Probe, limits: Limits) -> list[str]:
    """Read-only programs and libraries, and four devices; no /proc, which shows other processes."""
    options = ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/lib", "/lib64"):
        path = Path(name)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), name]
        elif path.exists():
            options += ["--ro-bind", name, name]
    options += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    prefix = prefix_of(found.python)
    if not prefix.is_relative_to("/usr"):
        options += ["--ro-bind", str(prefix), str(prefix)]
    for device in ("null", "zero", "random", "urandom"):
        options += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    if found.scratch:
        options += ["--size", str(limits.scratch_bytes), "--tmpfs", "/tmp", "--chdir", "/tmp"]
    return options


def _limited(limits: Limits) -> list[str]:
    """The command that sets limits, inside the sandbox: outside, all processes of the user count."""
    return [
        PRLIMIT,
        f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 1}",
        f"--as={limits.memory_bytes}",
        f"--nproc={limits.processes + 1}",  # the shell is one
        f"--fsize={limits.file_bytes}",
        f"--nofile={limits.open_files}",
        "--core=0",
        "--msgqueue=0",
        "--memlock=0",
    ]


@contextlib.contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def _in_memory(data: bytes) -> int:
    fd = os.memfd_create("qvl")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def prefix_of(python: str) -> Path:
    return Path(python).parent.parent
