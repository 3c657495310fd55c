"""Run without isolation, on request: only limits, and a temporary working folder."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from qvl.sandbox.bubblewrap import ENVIRONMENT
from qvl.sandbox.limits import Limits
from qvl.sandbox.supervise import Ended, Supervised


def run_unsafe(
    command: Sequence[str], stdin: bytes, limits: Limits, files: Mapping[str, bytes]
) -> Ended:
    """Run a command with the rights, network and files of this user.

    `files` are in its working folder. Its process group is killed at the end, but a process that left
    the group survives. There is no limit on processes: it would count all processes of this user.
    """
    with tempfile.TemporaryDirectory(prefix="qvl-unsafe-") as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        line = [
            "prlimit",
            f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 1}",
            f"--as={limits.memory_bytes}",
            f"--fsize={limits.file_bytes}",
            f"--nofile={limits.open_files}",
            "--core=0",
            "--",
            *command,
        ]
        return Supervised(
            line,
            stdin,
            limits,
            environment={**ENVIRONMENT, "HOME": folder},
            folder=folder,
            group=True,
        ).wait()
