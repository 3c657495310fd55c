"""What a program may use, and what became of it."""

from dataclasses import dataclass
from typing import Literal

MIB = 1 << 20

Status = Literal["ok", "failed", "crash", "timeout", "memory", "output"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one run. All defaults are our choice; no paper gives any."""

    wall_seconds: float = 10.0
    """From start to end, the interpreter's start included; then every process is killed."""
    cpu_seconds: int = 10
    """Processor time of all processes together (each alone is held to it by the kernel too)."""
    memory_bytes: int = 512 * MIB
    """Address space of each process, and resident memory of all together, looked at 20 times a
    second. A bare Python takes 10 MiB; contest problems allow 256."""
    processes: int = 64
    """Processes and threads at once: enough for a thread pool, far too few for a fork bomb."""
    file_bytes: int = 16 * MIB
    """The largest file that it can write; also the largest core dump would be, but none is made."""
    scratch_bytes: int = 64 * MIB
    """All files in /tmp, the only writable folder, which vanishes with the run."""
    open_files: int = 64
    """File descriptors of each process."""
    output_bytes: int = 8 * MIB
    """Standard output, and as much again of standard error; a longer one ends the run."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended. That the sandbox itself failed is never an outcome but a SandboxError."""

    status: Status
    """ok: exit status 0. failed: another exit status. crash: ended by a signal. timeout, memory,
    output: ended by that limit."""
    exit_code: int
    """What the program returned; 128 + n when signal n ended it."""
    stdout: bytes
    """At most `output_bytes`, also when a limit ended the run."""
    stderr: bytes
    seconds: float
    """Wall clock."""
