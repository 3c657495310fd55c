"""Whether this machine can isolate programs, and how: the sandbox is tried, not looked up."""

import os
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from qvl.errors import UserError
from qvl.sandbox import seccomp
from qvl.sandbox.bubblewrap import NOBODY, PRLIMIT, Probe, isolate, tool
from qvl.sandbox.limits import Limits
from qvl.sandbox.supervise import SandboxError

CORRECTED_LINUX = (5, 14)  # counts RLIMIT_NPROC per user namespace
_TRIAL = "import sys; print(sys.version_info >= (3, 10))"


class NoIsolation(UserError):
    """This machine cannot isolate programs; the message says why, and what to do."""


@cache
def probe() -> Probe:
    """Try the sandbox, once per process; takes about 0.1 s."""
    if shutil.which("bwrap") is None:
        return Probe(False, "bubblewrap is not installed; try: apt-get install bubblewrap")
    if not Path(PRLIMIT).exists() or shutil.which("setpriv") is None:
        return Probe(False, "prlimit or setpriv is not found; try: apt-get install util-linux")
    if not hasattr(os, "pidfd_open") or _release() < CORRECTED_LINUX:
        return Probe(False, f"Linux 5.14 or later is needed; this is {platform.release()}")
    filtered = seccomp.supported(platform.machine())
    try:
        if filtered:
            seccomp.program()
    except seccomp.FilterError as error:
        return Probe(False, str(error))
    version = subprocess.run(
        [tool("bwrap"), "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    numbers = tuple(int(number) for number in re.findall(r"\d+", version[-1] if version else "0"))
    user = NOBODY if os.geteuid() == 0 else os.geteuid()
    python = _interpreter(user)
    if python is None:
        return Probe(
            False,
            f"user {user} cannot read a Python interpreter ({sys.base_prefix}); "
            "try: apt-get install python3",
        )
    found = Probe(
        True,
        "",
        python=python,
        user=user,
        seccomp=filtered,
        scratch=numbers >= (0, 7),  # --size; an unlimited /tmp could use all memory
        version=".".join(map(str, numbers)),
    )
    return _tried(found)


def _tried(found: Probe) -> Probe:
    """The probe, or the reason why a first program did not run."""
    try:
        ended = isolate([found.python, "-I", "-S", "-c", _TRIAL], b"", Limits(), {}, found)
    except SandboxError as error:
        hint = ""
        if "namespace" in str(error) or "uid map" in str(error):
            hint = (
                "; this user cannot create user namespaces: see the sysctls "
                "user.max_user_namespaces, kernel.unprivileged_userns_clone and "
                "kernel.apparmor_restrict_unprivileged_userns; in a container, "
                "--security-opt seccomp=unconfined allows them"
            )
        return Probe(False, f"{error}{hint}", version=found.version)
    if ended.stdout != b"True\n":
        reason = ended.stderr.decode(errors="replace").strip() or "Python 3.10 or later is needed"
        return Probe(False, f"{found.python} does not run in the sandbox: {reason}"[:500])
    return found


def _release() -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", platform.release())[:2])


def _interpreter(user: int) -> str | None:
    """The interpreter of this process, or the system's if `user` cannot read that one."""
    own = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for path in (own, Path("/usr/bin/python3"), Path("/usr/local/bin/python3")):
        if path.exists() and _readable(path.resolve(), user):
            return str(path.resolve())
    return None


def _readable(path: Path, user: int) -> bool:
    """Whether `user` may read and execute a file: this process may and is its own, or everyone may."""
    if user == os.geteuid():
        return os.access(path, os.R_OK | os.X_OK)
    return all(part.stat().st_mode & 0o005 == 0o005 for part in (path, *path.parents))
