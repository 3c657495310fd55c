"""Whether records are sound: their shape, unique ids, and media that can be opened."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from qvl import record
from qvl.errors import UserError
from qvl.media import images
from qvl.stage import Run


def sound(run: Run, media_root: Path | None = None) -> Iterator[dict]:
    """The sound records; the others are rejected. Memory: 16 bytes per id."""
    seen: set[bytes] = set()
    for item in run:
        problem = _problem(item, seen, media_root)
        if problem is None:
            yield item
            continue
        if not run.reasons:
            run.note(first=f"record {run.read} ({item.get('id')!r}): {problem[1]}")
        run.reject(item, *problem)


def _problem(item: dict, seen: set[bytes], media_root: Path | None) -> tuple[str, str] | None:
    wrong = record.check(item)
    if wrong is not None:
        return "unsound", wrong
    digest = hashlib.blake2b(item["id"].encode(), digest_size=16).digest()
    if digest in seen:
        return "duplicate-id", f"id {item['id']!r} occurred before"
    seen.add(digest)
    if media_root is not None:
        for reference in record.images(item):
            if not reference.startswith(("http://", "https://")):
                try:
                    images.load(reference, media_root)
                except UserError as error:
                    return "media", str(error)
    return None
