"""The isolation: bubblewrap makes the namespaces, prlimit sets the limits, a shell is process 1."""

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from qvl.errors import UserError
from qvl.sandbox import seccomp
from qvl.sandbox.limits import Limits
from qvl.sandbox.supervise import Ended, SandboxError, Supervised

NOBODY = 65534  # root's limits on processes do not bind, so root's sandboxes run as this user
FILES = "/job"  # where the program's files are, read-only
ENVIRONMENT = {  # all that a program sees
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",  # equal seeds make equal verdicts
    "MALLOC_ARENA_MAX": "1",  # else each thread reserves 64 MiB of the address space that is limited
}
CORRECTED_LINUX = (5, 14)  # since when RLIMIT_NPROC is counted for each user namespace
_PRLIMIT = "/usr/bin/prlimit"  # as the sandbox sees it
_TRIAL = "import sys; print(sys.version_info >= (3, 10))"
_SHELL = '"$@"; exit $?'  # not the last command, or the shell would make way for the program


class NoIsolation(UserError):
    """Nothing here can isolate a program; the message says why and what helps."""


@dataclass(frozen=True)
class Probe:
    """What this machine offers."""

    isolated: bool
    """A program was run in isolation, here and now."""
    reason: str
    """Why not, and what helps; "" where it works."""
    python: str = ""
    """The interpreter that runs sources."""
    user: int = 0
    """The user id that programs have outside the sandbox."""
    seccomp: bool = False
    """System calls are filtered."""
    scratch: bool = False
    """/tmp is writable, within a limit."""
    version: str = ""
    """bubblewrap's."""


@cache
def probe() -> Probe:
    """Try the sandbox once in this process's life: about 0.1 s."""
    if shutil.which("bwrap") is None:
        return Probe(False, "bubblewrap is not installed; try: apt-get install bubblewrap")
    if not Path(_PRLIMIT).exists() or shutil.which("setpriv") is None:
        return Probe(False, "prlimit or setpriv is not found; try: apt-get install util-linux")
    if not hasattr(os, "pidfd_open") or _release() < CORRECTED_LINUX:
        return Probe(False, f"Linux 5.14 or later is needed, not {platform.release()}")
    version = subprocess.run(
        [_tool("bwrap"), "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    numbers = tuple(int(number) for number in re.findall(r"\d+", version[-1] if version else "0"))
    user = NOBODY if os.geteuid() == 0 else os.geteuid()
    python = _interpreter(user)
    if python is None:
        return Probe(
            False,
            f"no Python that user {user} may read ({sys.base_prefix} is not); "
            "try: apt-get install python3",
        )
    found = Probe(
        True,
        "",
        python=python,
        user=user,
        seccomp=seccomp.supported(),
        scratch=numbers >= (0, 7),  # --size; an unbounded /tmp would be a way to all memory
        version=".".join(map(str, numbers)),
    )
    return _tried(found)


def _tried(found: Probe) -> Probe:
    """The same, or why a first program did not run."""
    try:
        ended = isolate([found.python, "-I", "-S", "-c", _TRIAL], b"", Limits(), {}, found)
    except SandboxError as error:
        hint = ""
        if "namespace" in str(error) or "uid map" in str(error):
            hint = (
                "; user namespaces are closed to this user: see the sysctls "
                "user.max_user_namespaces, kernel.unprivileged_userns_clone and "
                "kernel.apparmor_restrict_unprivileged_userns; in a container, "
                "--security-opt seccomp=unconfined opens them"
            )
        return Probe(False, f"{error}{hint}", version=found.version)
    if ended.stdout != b"True\n":
        said = ended.stderr.decode(errors="replace").strip() or "Python 3.10 or later is needed"
        return Probe(False, f"{found.python} does not run in the sandbox: {said}"[:500])
    return found


def isolate(
    command: Sequence[str],
    stdin: bytes,
    limits: Limits,
    files: Mapping[str, bytes],
    found: Probe,
) -> Ended:
    """Run a command in a sandbox of its own; SandboxError where it could not be made."""
    with contextlib.ExitStack() as stack:
        report, said = os.pipe()
        end = stack.enter_context(_closing(said))
        passed = [end]
        options = ["--json-status-fd", str(end)]
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
            _tool("bwrap"),
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
        said_last = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise SandboxError(" ".join(said_last) or f"bwrap ended with status {ended.returncode}")
    return ended


@cache
def _tool(name: str) -> str:
    """Where a program lies that `probe` has found."""
    path = shutil.which(name)
    assert path
    return path


def _as_user(user: int) -> list[str]:
    """Another program to change the user: Popen(user=...) would fork a parent of many gigabytes."""
    if os.geteuid() == user:
        return []
    return [_tool("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]


def _namespaces() -> list[str]:
    return [
        "--unshare-all",  # user, PID, network, mounts, IPC, host name, control groups
        "--die-with-parent",
        "--new-session",  # no terminal to type into
        "--as-pid-1",  # so that bwrap reaps its child; else a container's process 1 had to
        "--hostname",
        "sandbox",
    ]


def _file_system(found: Probe, limits: Limits) -> list[str]:
    """Programs and libraries, read-only; four devices; no /proc, which shows other processes."""
    options = ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/lib", "/lib64"):
        path = Path(name)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), name]
        elif path.exists():
            options += ["--ro-bind", name, name]
    options += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    prefix = _prefix(found.python)
    if not prefix.is_relative_to("/usr"):
        options += ["--ro-bind", str(prefix), str(prefix)]
    for device in ("null", "zero", "random", "urandom"):
        options += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    if found.scratch:
        options += ["--size", str(limits.scratch_bytes), "--tmpfs", "/tmp", "--chdir", "/tmp"]
    return options


def _limited(limits: Limits) -> list[str]:
    """Set inside: outside, the limit on processes would count all of this user's."""
    return [
        _PRLIMIT,
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


def _release() -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", platform.release())[:2])


def _prefix(python: str) -> Path:
    return Path(python).parent.parent


def _interpreter(user: int) -> str | None:
    """The interpreter behind this process, or the system's where `user` may not read that one."""
    own = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for path in (own, Path("/usr/bin/python3"), Path("/usr/local/bin/python3")):
        if path.exists() and _readable(path.resolve(), user):
            return str(path.resolve())
    return None


def _readable(path: Path, user: int) -> bool:
    """Whether another user may read a file: everyone may, or it is that user's own process."""
    if user == os.geteuid():
        return os.access(path, os.R_OK | os.X_OK)
    return all(part.stat().st_mode & 0o005 == 0o005 for part in (path, *path.parents))
