"""Model-written code runs here and nowhere else.

Each run is alone: own user, PID, network, mount and IPC namespaces; /usr and the interpreter
read-only, /tmp its only writable place, gone afterwards; no /home, no /proc, no network, an empty
environment; limits on time, memory, processes, files and output; system calls filtered; and the
tree of processes killed as one. bubblewrap does it; where it cannot, `run` refuses.

What it does not protect against:
- A hole in the kernel that the remaining system calls reach: it is a shared kernel, no virtual
  machine. Do not run here what you would not run as an unprivileged user of this machine.
- Reading what every user may read below /usr (and the interpreter's prefix).
- Time: a run may use its processor seconds to the full, and side channels are open.
- Short peaks: all processes' memory is looked at 20 times a second, so that several processes
  together can pass the limit for 50 ms; each alone cannot. Millions of empty files in /tmp, and
  sockets' buffers, are kernel memory that only the time limit bounds.
- A wrong verdict: that a program ends well says nothing of what it computed. Give it no answers
  to compare with, and compare outside (qvl.reward.verifiers.code does).
On machines other than x86_64 and aarch64 system calls are not filtered; `probe` says so.
"""

import sys
from collections.abc import Mapping, Sequence

from qvl.sandbox.bubblewrap import FILES, NoIsolation, Probe, isolate, probe
from qvl.sandbox.limits import Limits, Outcome, Status
from qvl.sandbox.local import run_unsafe
from qvl.sandbox.supervise import Ended, SandboxError

__all__ = ["Limits", "NoIsolation", "Outcome", "Probe", "SandboxError", "probe", "run"]

_SOURCE = "main.py"
# Without the site module there is no exit() in a program, which those of contests call. Nothing is
# imported from the working folder, where one process of a program could trap another.
_START = """\
import builtins, sys
sys.path = [folder for folder in sys.path if folder]
builtins.exit = builtins.quit = sys.exit
sys.argv = ["{path}"]
with open("{path}", "rb") as file:
    code = file.read()
exec(compile(code, "{path}", "exec"), {{"__name__": "__main__", "__builtins__": builtins}})
"""
_SIGXCPU, _SIGKILL = 128 + 24, 128 + 9


def run(
    program: str | Sequence[str],
    stdin: bytes = b"",
    limits: Limits | None = None,
    *,
    files: Mapping[str, bytes] | None = None,
    unsafe_local: bool = False,
) -> Outcome:
    """Run a Python source (a string) or a command (a list) and say how it ended.

    files: name -> content, read-only in /job. The working folder is /tmp.
    unsafe_local: run without isolation where there is none; else NoIsolation is raised.
    Safe to call from several threads. The standard library is all that a source can import.
    Errors: NoIsolation; SandboxError when the sandbox failed, which says nothing of the program.
    """
    limits = limits or Limits()
    found = probe()
    if not found.isolated and not unsafe_local:
        raise NoIsolation(
            f"model-written code needs a sandbox, and {found.reason}; "
            "or --unsafe-local runs it with your own rights"
        )
    given = dict(files or {})
    command = list(program)
    if isinstance(program, str):
        given[_SOURCE] = program.encode(errors="replace")
        path = f"{FILES}/{_SOURCE}" if found.isolated else _SOURCE
        python = found.python if found.isolated else sys.executable
        # Not -I, which would ignore the hash seed in the environment.
        command = [python, "-s", "-S", "-B", "-X", "utf8", "-c", _START.format(path=path)]
    if found.isolated:
        ended = isolate(command, stdin, limits, given, found)
    else:
        ended = run_unsafe(command, stdin, limits, given)
    return _outcome(ended, limits)


def _outcome(ended: Ended, limits: Limits) -> Outcome:
    code = ended.returncode if ended.returncode >= 0 else 128 - ended.returncode
    return Outcome(
        status=ended.limit or _status(code, ended, limits),
        exit_code=code,
        stdout=ended.stdout,
        stderr=ended.stderr,
        seconds=ended.seconds,
    )


def _status(code: int, ended: Ended, limits: Limits) -> Status:
    if code == 0:
        return "ok"
    if code == _SIGXCPU or (code == _SIGKILL and ended.seconds >= limits.cpu_seconds):
        return "timeout"  # the kernel's own limit came first
    if ended.stderr.rstrip().endswith(b"MemoryError"):
        return "memory"  # Python met the limit of its address space
    return "crash" if code > 128 else "failed"
