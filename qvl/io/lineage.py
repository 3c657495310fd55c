"""The history of a stream: an entry per stage, in a zstd skippable frame at the stream's end.

An entry describes the run of one command (see `qvl.stage.Run.account`). Its `inputs` hold the
entries of the streams that the command read, so the newest entry is the root of a tree.
"""

import os
import time
from collections.abc import Iterable, Iterator

import orjson

from qvl.io import frames

PREFIX = b"qvl-lineage 1\n"


def frame(entry: dict) -> bytes:
    """Return the skippable frame that ends a stream."""
    return frames.note(PREFIX + orjson.dumps(entry))


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
    return float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
