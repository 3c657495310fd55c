"""The history of a stream: an entry per stage, in a zstd skippable frame at the stream's end.

An entry describes the run of one command (see `qvl.stage.Run.account`). Its `inputs` hold the
entries of the streams that the command read, so the newest entry is the root of a tree.
"""

import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from qvl.errors import UserError
from qvl.io import frames, inputs

PREFIX = b"qvl-lineage 1\n"


def frame(entry: dict) -> bytes:
    """Return the skippable frame that ends a stream."""
    return frames.note(PREFIX + encode(entry))


def encode(entry: dict, option: int = 0) -> bytes:
    """An entry as JSON. A byte of a file's name that is not UTF-8 is written as \\xff."""
    try:
        return orjson.dumps(entry, option=option)
    except TypeError:
        return orjson.dumps(_printable(entry), option=option)


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value if value == "-" else inputs.display_name(value)
    if isinstance(value, dict):
        return {_printable(key): _printable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(one) for one in value]
    return str(value) if isinstance(value, int) and value.bit_length() > 63 else value


def parse(note: bytes) -> dict | None:
    """Return the entry in a skippable frame; None for a frame of another program."""
    if not note.startswith(PREFIX):
        return None
    return orjson.loads(note[len(PREFIX) :])


def flatten(entries: Iterable[dict], depth: int = 0) -> Iterator[tuple[int, dict]]:
    """Yield every entry with its distance from the stream, newest first."""
    for entry in entries:
        yield depth, entry
        for source in entry.get("inputs", []):
            yield from flatten(source.get("lineage", []), depth + 1)


def now() -> float:
    """Return the seconds since 1970, or SOURCE_DATE_EPOCH if set, for reproducible entries."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    if not fixed:
        return time.time()
    if not (fixed.isascii() and fixed.isdigit() and len(fixed) < 16):
        raise UserError(f"SOURCE_DATE_EPOCH={fixed}: expected whole seconds since 1970")
    return float(fixed)
