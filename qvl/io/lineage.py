"""Where a stream came from: every stage's account, carried in a zstd skippable frame at its end.

An entry is what one command says of its run (see `qvl.stage.Run.account`). Its `inputs` hold the
entries of the streams that it read, so the newest entry is the root of a tree.
"""

from collections.abc import Iterable, Iterator

import orjson

from qvl.io import frames

PREFIX = b"qvl-lineage 1\n"


def frame(entry: dict) -> bytes:
    """The skippable frame that ends a stream."""
    return frames.note(PREFIX + orjson.dumps(entry))


def parse(note: bytes) -> dict | None:
    """The entry of a skippable frame, or None for somebody else's frame."""
    if not note.startswith(PREFIX):
        return None
    return orjson.loads(note[len(PREFIX) :])


def flatten(entries: Iterable[dict], depth: int = 0) -> Iterator[tuple[int, dict]]:
    """Every entry with its distance from the stream, newest first."""
    for entry in entries:
        yield depth, entry
        for source in entry.get("inputs", []):
            yield from flatten(source.get("lineage", []), depth + 1)
