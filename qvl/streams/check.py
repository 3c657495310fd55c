"""Whether records are sound: their shape, unique ids, and media that can be opened."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from qvl import record
from qvl.media import images, video
from qvl.media.errors import MediaError
from qvl.media.references import is_remote
from qvl.stage import Run


def sound(run: Run, media_root: Path | None = None) -> Iterator[dict]:
    """The sound records; the others are rejected. Memory: 16 bytes per id."""
    seen: set[bytes] = set()
    for item in run.as_read():
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
        try:
            for reference in record.images(item):
                if not is_remote(reference):
                    images.load(reference, media_root)
            for clip in record.videos(item):
                if not any(map(is_remote, [clip] if isinstance(clip, str) else clip)):
                    video.read(clip, media_root, fit=video.unseen)
        except MediaError as error:
            return "media", str(error)
    return None
