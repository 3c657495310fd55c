"""Small files that appear whole or not at all: reports, stamps, media named by their content."""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write beside `path` and rename; a pipe or a device is written to as it is. OSError as usual."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    target = Path(os.path.realpath(path))
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
