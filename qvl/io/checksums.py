"""Checksums of the files of a folder, and what is wrong with a folder that has them.

CRC-32 finds every error of up to 32 bits in a row and misses one in 4 billion others: enough for what
disks and networks do, not for an attacker. It reads 1 GB/s and more per core.
"""

import json
import zlib
from pathlib import Path

from qvl.io import atomic

NAME = "checksums.json"
BLOCK = 1 << 22

Sums = dict[str, tuple[int, int]]  # file, relative to its folder -> bytes, CRC-32


def of_file(path: Path) -> tuple[int, int]:
    """The size of a file and its CRC-32."""
    size = crc = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            size += len(block)
            crc = zlib.crc32(block, crc)
    return size, crc


def write(folder: Path, sums: Sums) -> None:
    """Write what `read` reads, as the last file of a folder: without it, the folder is not whole."""
    atomic.write(folder / NAME, json.dumps(sums, indent=1).encode())


def read(folder: Path) -> Sums | str:
    """The checksums of a folder's files, or why there are none."""
    try:
        found = json.loads((folder / NAME).read_bytes())
        return {name: (int(size), int(crc)) for name, (size, crc) in found.items()}
    except FileNotFoundError:
        return f"{NAME} is missing"
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return f"{NAME} cannot be read: {error}"


def problem(path: Path, expected: tuple[int, int]) -> str | None:
    """What is wrong with a file: that it is missing, truncated or damaged; None if it is as it was."""
    try:
        found = path.stat().st_size
        if found != expected[0]:
            return f"{path.name} has {found:,} bytes instead of {expected[0]:,}"
        if of_file(path) != expected:
            return f"{path.name} is damaged: its checksum differs"
    except FileNotFoundError:
        return f"{path.name} is missing"
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror}"
    return None
