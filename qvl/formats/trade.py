"""What a conversion carries along: where media lie, what was lost, ids for rows without one."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.io import images

SUFFIXES = {  # first bytes -> suffix of a media file
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF8": ".gif",
    b"RIFF": ".webp",
    b"BM": ".bmp",
}
BYTES = "bytes"  # the key of embedded media in Hugging Face's Image feature, beside "path"


class Lost(UserError):
    """The record holds what the format cannot."""


class Trade:
    """One conversion.

    media_root: where the references of records start. media_dir: where embedded bytes are written,
    referred to as `media_name`/FILE. lossy: drop what a format cannot hold, and count it.
    think_tags: reasoning_content travels as <think> in the text of formats without a field for it.
    """

    def __init__(
        self,
        *,
        media_root: Path = Path(),
        media_dir: Path | None = None,
        lossy: bool = False,
        think_tags: bool = False,
        stem: str = "row",
    ) -> None:
        self.media_root, self.media_dir = media_root, media_dir
        self.lossy, self.think_tags, self.stem = lossy, think_tags, stem
        self.losses: Counter[str] = Counter()
        self.format, self.number = "", 0
        self._id: Any = None

    def begin(self, row: dict) -> None:
        """A new row or record comes."""
        self.number += 1
        self._id = row.get("id", self.number)

    def lose(self, what: str) -> None:
        """Say that the format cannot hold `what`; raises unless losing is allowed."""
        if not self.lossy:
            raise Lost(
                f"record {self._id!r}: {self.format} cannot hold {what}; drop it with --lossy, "
                "or put such records aside with --on-error reject"
            )
        self.losses[what] += 1

    def wrong(self, problem: str) -> Lost:
        """The error of a row that contradicts itself."""
        return Lost(f"row {self._id!r}: {problem}")

    def new_id(self) -> str:
        return f"{self.stem}-{self.number:06d}"

    def save(self, content: bytes) -> str:
        """Write embedded media to a file named by its content; return the reference."""
        if self.media_dir is None:
            raise UserError("the rows hold media; say where to write it with --media-dir DIR")
        suffix = next((s for head, s in SUFFIXES.items() if content.startswith(head)), ".bin")
        name = hashlib.blake2b(content, digest_size=12).hexdigest() + suffix
        path = self.media_dir / name
        if not path.exists():
            self.media_dir.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_bytes(content)
            partial.replace(path)
        return f"{self.media_dir.name}/{name}"

    def reference(self, medium: Any) -> str:
        """The reference of a medium as rows give it: a path, or {"bytes", "path"}."""
        if isinstance(medium, dict):
            if medium.get(BYTES) is not None:
                return self.save(medium[BYTES])
            medium = medium.get("path") or medium.get("image") or medium.get("url")
        if not isinstance(medium, str):
            raise self.wrong("an image is neither a path nor bytes")
        return medium

    def embedded(self, reference: str) -> dict:
        """A medium as Hugging Face's Image feature holds it."""
        content = images.read(reference, self.media_root)
        name = None if reference.startswith("data:") else Path(reference).name
        return {BYTES: content, "path": name}


def with_id(record: dict, trade: Trade) -> dict:
    """The record, its id first; one is made where the row had none."""
    found = record.pop("id", None)
    if found is None:
        found = trade.new_id()
    return {"id": found if isinstance(found, str) else str(found), **record}
