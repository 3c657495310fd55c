"""The limits of a program, and its outcome."""

from dataclasses import dataclass
from typing import Literal

MIB = 1 << 20

Status = Literal["ok", "failed", "crash", "timeout", "memory", "output"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one run. The defaults are our choice; no paper gives any."""

    wall_seconds: float = 10.0
    """Wall-clock time, including the start of the interpreter; then every process is killed."""
    cpu_seconds: int = 10
    """Processor time of all processes together; the kernel also limits each one to it."""
    memory_bytes: int = 512 * MIB
    """Address space of each process, and resident memory of all together, measured 20 times per
    second. A bare Python takes 10 MiB; contest problems allow 256."""
    processes: int = 64
    """Processes and threads at a time: enough for a thread pool, too few for a fork bomb."""
    file_bytes: int = 16 * MIB
    """The largest file. There are no core dumps."""
    scratch_bytes: int = 64 * MIB
    """All files in /tmp, the only writable folder, which is deleted after the run."""
    open_files: int = 64
    """File descriptors per process."""
    output_bytes: int = 8 * MIB
    """Standard output, and the same for standard error; more ends the run."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended. A failure of the sandbox itself is a SandboxError, never an outcome."""

    status: Status
    """ok: exit status 0. failed: another exit status. crash: ended by a signal. timeout, memory or
    output: ended by that limit."""
    exit_code: int
    """The exit status of the program; 128 + n if signal n ended it."""
    stdout: bytes
    """At most `output_bytes`, also if a limit ended the run."""
    stderr: bytes
    seconds: float
    """Wall-clock time."""
