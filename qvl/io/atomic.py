"""Files that appear complete or not at all: written under a temporary name beside and renamed."""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from qvl.errors import UserError

LONGEST = 200  # bytes of a file's name that its temporary name begins with; a name may have 255
_open: dict[Path, "Partial"] = {}  # those of this process, by their targets


class Partial:
    """A new file beside `target`, under a name that nobody can guess, which is locked while it is written.

    What a killed process left is not locked: it is removed when the same target is next written.
    """

    def __init__(self, target: Path) -> None:
        """OSError if it cannot be made, UserError if this process is writing the same target already."""
        if target in _open:
            raise UserError(f"{target}: given for two outputs; one would replace the other")
        self.target = target
        stem = os.fsdecode(os.fsencode(target.name)[:LONGEST])
        _remove_leftovers(target.parent, stem)
        try:
            self.file = self._create(stem)
        except OSError:
            _open.pop(target, None)
            raise

    def _create(self, stem: str) -> BinaryIO:
        while True:
            name = f"{stem}.{os.getpid()}-{os.urandom(4).hex()}.partial"
            self.path = self.target.with_name(name)
            _open[self.target] = self  # first: a signal may arrive at any moment, see discard_all
            descriptor = os.open(
                self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666
            )
            with contextlib.suppress(OSError):  # a file system may have no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return open(descriptor, "wb", buffering=0)  # noqa: PTH123 - a descriptor
            os.close(descriptor)  # it was taken for a leftover before it was locked

    def commit(self) -> None:
        """Put the file, which is complete, in the place of its target."""
        self.path.replace(self.target)
        self._close()

    def discard(self) -> None:
        """Remove the file. Does nothing after `commit` or `discard`."""
        if not self.file.closed:
            self.path.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        _open.pop(self.target, None)
        self.file.close()


def discard_all() -> None:
    """Remove what this process has begun and not completed, at its end."""
    for each in _open.values():
        each.path.unlink(missing_ok=True)
    _open.clear()


def _remove_leftovers(folder: Path, stem: str) -> None:
    pattern = re.compile(re.escape(stem) + r"\.\d+-[0-9a-f]{8}\.partial")
    try:
        with os.scandir(folder) as entries:
            found = [Path(entry.path) for entry in entries if pattern.fullmatch(entry.name)]
    except OSError:  # the file itself will say what is wrong
        return
    for path in found:
        with contextlib.suppress(OSError):  # it is another's: locked, or not ours to remove
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def target_of(path: str | Path) -> Path | None:
    """The file that `path` stands for: itself, or the target of a link, which stays a link.

    None for a pipe or a device, which is written to directly and never replaced.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        return None
    return Path(os.path.realpath(path))


def partial(path: str | Path) -> Partial | None:
    """A temporary file for `path`; None for a pipe or a device. OSError if it cannot be made."""
    target = target_of(path)
    return None if target is None else Partial(target)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path to write to, and rename it to `path` on success or remove it on an exception."""
    temporary = partial(path)
    if temporary is None:
        yield path
        return
    try:
        yield temporary.path
        temporary.commit()
    except BaseException:
        temporary.discard()
        raise


def write(path: Path, content: bytes) -> None:
    """Write `content` to `path`, all of it or nothing. Raises OSError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
