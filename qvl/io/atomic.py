"""Files that appear complete or not at all: written under a temporary name beside and renamed."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def partial_path(path: str | Path) -> Path | None:
    """The temporary name for `path`: beside it, or beside the target if it is a link.

    None for a pipe or a device, which is written to directly and never replaced.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        return None
    target = Path(os.path.realpath(path))
    return target.with_name(f"{target.name}.{os.getpid()}.partial")


def rename(partial: Path, path: str | Path) -> None:
    """Put a finished partial file in the place of `path`; a link stays a link."""
    partial.replace(os.path.realpath(path))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path to write to, and rename it to `path` on success or remove it on an exception."""
    partial = partial_path(path)
    if partial is None:
        yield path
        return
    try:
        yield partial
        rename(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write(path: Path, content: bytes) -> None:
    """Write `content` to `path`, all of it or nothing. Raises OSError."""
    with replacing(path) as partial:
        partial.write_bytes(content)
