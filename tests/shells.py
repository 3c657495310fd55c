"""A shell that finds the `qvl` under test."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
Shell = Callable[..., "subprocess.CompletedProcess[str]"]


def shell(folder: Path) -> Shell:
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

    def run(line: str, **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", **env},
        )

    return run


def peak_kib(sh: Shell, command: str) -> int:
    """The memory of a command at its peak."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = sh(f"python -c '{code}' {command}")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)
