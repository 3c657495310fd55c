"""Memory and processor time of a tree of processes, from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """The use of all processes of a tree together."""

    memory_bytes: int
    cpu_seconds: float


def usage(root: int, limit_bytes: int) -> Usage:
    """The anonymous and shared resident memory and processor time of `root` and its descendants.

    Shared pages count once per process, unless the sum is over `limit_bytes`: then they are divided
    among the processes (PSS), which takes a walk of the page tables.
    """
    tree = _tree(root)
    memory = sum(_resident(pid) for pid in tree)
    if memory > limit_bytes:
        memory = sum(_proportional(pid) for pid in tree)
    return Usage(memory, sum(_cpu(pid) for pid in tree))


def _tree(root: int) -> list[int]:
    """The process ids of a tree. A process that ends meanwhile has no children and uses nothing."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
        except (FileNotFoundError, ProcessLookupError):
            continue
        for task in tasks:
            waiting += [int(child) for child in _read(f"{task}/children").split()]
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _sum_kib(text: str, *names: str) -> int:
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return sum(int(fields[name].split()[0]) * 1024 for name in names if name in fields)


def _resident(pid: int) -> int:
    return _sum_kib(_read(f"/proc/{pid}/status"), "RssAnon", "RssShmem", "VmSwap")


def _proportional(pid: int) -> int:
    try:
        text = _read(f"/proc/{pid}/smaps_rollup")
    except PermissionError:  # an unreadable program counts in full
        return _resident(pid)
    return _sum_kib(text, "Pss_Anon", "Pss_Shmem", "SwapPss")


def _cpu(pid: int) -> float:
    """The processor time of a process and of the children it has waited for."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS
