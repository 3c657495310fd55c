"""A terminal of any width, in which a command runs."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path


def terminal(command: list[str], folder: Path, *, columns: int, **env: str) -> str:
    """What a command writes to a terminal as standard output, with its escape sequences."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    names = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=subprocess.DEVNULL,
        env={**names, "LANG": "C.UTF-8", **env},
    )
    os.close(follower)
    parts = []
    while True:
        try:
            part = os.read(leader, 1 << 16)
        except OSError:  # Linux's way to say that the terminal has no other end
            break
        if not part:
            break
        parts.append(part)
    os.close(leader)
    assert process.wait(60) == 0
    return b"".join(parts).decode().replace("\r\n", "\n")
