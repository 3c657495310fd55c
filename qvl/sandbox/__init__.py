"""Run model-written code in isolation. Nothing else in qvl runs such code.

Each run has its own user, PID, network, mount and IPC namespaces. /usr and the interpreter are
read-only; /tmp is the only writable folder, and is deleted afterwards; there is no /home, no /proc, no
network and an empty environment. Time, memory, processes, files and output are limited, system calls
are filtered, and all processes of the run are killed together. bubblewrap and libseccomp do it;
without them `run` refuses.

It does not protect against:
- A vulnerability of the kernel that the remaining system calls reach: the kernel is shared, this is not
  a virtual machine. Do not run what you would not run as an unprivileged user of this machine.
- Reading what every user may read below /usr and the interpreter's prefix.
- Use of time: a run may use all its processor seconds, and side channels are open.
- Short peaks: memory is measured 20 times per second, so several processes together can exceed the
  limit for 50 ms; a single one cannot. Only the time limit bounds the kernel memory of socket buffers
  and of millions of empty files in /tmp.
- A wrong verdict: a successful exit says nothing about what a program computed. Do not give it the
  expected answers; compare outside, as qvl.reward.verifiers.code does.
On machines other than x86_64 and aarch64 system calls are not filtered, which `probe` reports.
"""

import sys
from collections.abc import Mapping, Sequence

from qvl.sandbox.bubblewrap import FILES, Probe, isolate
from qvl.sandbox.isolation import NoIsolation, probe
from qvl.sandbox.limits import Limits, Outcome, Status
from qvl.sandbox.local import run_unsafe
from qvl.sandbox.supervise import Ended, SandboxError

__all__ = ["Limits", "NoIsolation", "Outcome", "Probe", "SandboxError", "probe", "run"]

_SOURCE = "main.py"
# Contest programs call exit(), which does not exist without the site module. The working folder is not
# on the path: one process of a program could plant a module there for another.
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
    """Run a Python source (a string) or a command (a list), and return its outcome.

    files: name -> content, read-only in /job. The working folder is /tmp.
    unsafe_local: run without isolation if there is none, in place of raising NoIsolation.
    Thread-safe. A source can import only the standard library.
    Raises NoIsolation, or SandboxError if the sandbox itself failed, whatever the program did.
    """
    limits = limits or Limits()
    found = probe()
    if not found.isolated and not unsafe_local:
        raise NoIsolation(
            f"model-written code needs a sandbox, but {found.reason}; "
            "or run it with your own rights: --unsafe-local"
        )
    contents = dict(files or {})
    command = list(program)
    if isinstance(program, str):
        contents[_SOURCE] = program.encode(errors="replace")
        path = f"{FILES}/{_SOURCE}" if found.isolated else _SOURCE
        python = found.python if found.isolated else sys.executable
        # Not -I, which would ignore the hash seed in the environment.
        command = [python, "-s", "-S", "-B", "-X", "utf8", "-c", _START.format(path=path)]
    if found.isolated:
        ended = isolate(command, stdin, limits, contents, found)
    else:
        ended = run_unsafe(command, stdin, limits, contents)
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
        return "timeout"  # the kernel's limit was reached first
    if ended.stderr.rstrip().endswith(b"MemoryError"):
        return "memory"  # Python reached the limit of its address space
    return "crash" if code > 128 else "failed"
