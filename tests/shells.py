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
