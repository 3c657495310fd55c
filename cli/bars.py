"""The lines that the commands of a pipeline share on their terminal: one for each, below all other text.

The commands know of each other by a file, named by their process group and terminal, which each locks while
it writes. Whoever has something new erases the lines, and writes them again below what it has to say.
"""

import contextlib
import fcntl
import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO


class Bars(io.TextIOBase):
    """A terminal's standard error; a text that is written to it goes above the lines of all commands."""

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal
        self._unfinished = ""  # a line without its end
        self._rows: list[str] = []
        # Rows on the terminal; process -> its rows.
        self._alone: dict[str, Any] = {"drawn": 0, "lines": {}}
        device = os.fstat(terminal.fileno()).st_rdev
        folder = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        self._path = Path(folder) / f"qvl-bars-{os.getuid()}-{os.getpgrp()}-{device}"

    def show(self, rows: Sequence[str]) -> None:
        """The rows of this command from now on, each shorter than the terminal's line."""
        self._rows = list(rows)
        self._draw("")

    def write(self, text: str) -> int:
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        if lines:
            self._draw("".join(f"{line}\n" for line in lines))
        return len(text)

    def close(self) -> None:
        """Write a last line that has no end. The terminal stays open."""
        rest, self._unfinished = self._unfinished, ""
        if rest:
            self._draw(rest + "\n")

    def fileno(self) -> int:
        return self.terminal.fileno()

    def isatty(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.terminal.encoding

    def _draw(self, above: str) -> None:
        with self._shared() as state:
            own = str(os.getpid())
            lines = {each: rows for each, rows in state["lines"].items() if _is_alive(each)}
            if not lines:  # nobody else: what was drawn is long gone
                state["drawn"] = 0
            lines.pop(own, None)
            if self._rows:
                lines[own] = self._rows
            rows = [row for each in sorted(lines, key=int) for row in lines[each]]
            if state["drawn"] or rows:
                back = f"\x1b[{state['drawn']}A\r" if state["drawn"] else "\r"
                texts = [*above.splitlines(), *rows]
                self.terminal.write(back + "".join(f"{text}\x1b[K\n" for text in texts) + "\x1b[J")
            else:
                self.terminal.write(above)
            self.terminal.flush()
            state.update(drawn=len(rows), lines=lines)

    @contextlib.contextmanager
    def _shared(self) -> Iterator[dict[str, Any]]:
        """What the commands share, locked; it is written back, or removed by the last of them."""
        try:
            file = self._opened()
        except OSError:  # no folder for it: each command draws its own line
            yield self._alone
            return
        with os.fdopen(file, "r+") as opened:
            try:
                state = json.load(opened)
            except ValueError:  # it is new, or was cut by a full disk
                state = {"drawn": 0, "lines": {}}
            yield state
            if not state["lines"]:
                self._path.unlink()
                return
            opened.seek(0)
            opened.truncate()
            with contextlib.suppress(OSError):  # of a full disk
                json.dump(state, opened)
                opened.flush()

    def _opened(self) -> int:
        """The descriptor of the locked file."""
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file).st_nlink:
                return file
            os.close(file)  # the last command removed it while this one waited


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
