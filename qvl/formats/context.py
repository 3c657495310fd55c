"""What a conversion needs to know: where media are, what is allowed, which row is converted."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.io import atomic
from qvl.media import references, signatures

BYTES = "bytes"  # the key of embedded media in Hugging Face's Image feature, beside "path"


class CannotConvert(UserError):
    """The row contradicts itself, or has something that the target cannot hold."""


class Context:
    """One direction of a conversion.

    target: its name in errors. media_root: the folder of the references of records. media_dir: where
    embedded media are written, and media_name: how the output refers to it. lossy: drop and count
    what the target cannot hold. think_tags: formats without a field for reasoning_content hold it in
    the text, as <think>. place: the file of the current row, and its number among all rows.
    """

    def __init__(
        self,
        target: str = "the format",
        *,
        media_root: Path = Path(),
        media_dir: Path | None = None,
        media_name: str = "",
        allow_remote: bool = False,
        lossy: bool = False,
        think_tags: bool = False,
        place: Callable[[], tuple[str, int]] = lambda: ("row", 1),
    ) -> None:
        self.target = target
        self.media_root, self.allow_remote = media_root, allow_remote
        self.media_dir = media_dir
        self.media_name = media_name or (media_dir.name if media_dir else "")
        self.lossy, self.think_tags = lossy, think_tags
        self.losses: Counter[str] = Counter()  # of the current row
        self._place = place
        self._id: Any = None

    def start(self, row: dict) -> None:
        """Set the current row or record."""
        self._id = row.get("id")
        self.losses.clear()

    def unsupported(self, what: str) -> None:
        """Count a loss. Raises CannotConvert unless losses are allowed."""
        if not self.lossy:
            raise CannotConvert(
                f"{self._row('record')}{self.target} cannot hold {what}; drop it with --lossy, "
                "or reject such records with --on-error reject"
            )
        self.losses[what] += 1

    def error(self, problem: str) -> CannotConvert:
        """The error for a row that contradicts itself."""
        return CannotConvert(f"{self._row('row')}{problem}")

    def without(self, record: dict, fields: Collection[str]) -> dict:
        """The record without `fields`, whose names the format uses for something else."""
        for field in fields:
            if field in record:
                self.unsupported(f"a field named {field!r}")
        return {k: v for k, v in record.items() if k not in fields}

    def _row(self, kind: str) -> str:
        return "" if self._id is None else f"{kind} {self._id!r}: "

    @property
    def row_number(self) -> int:
        """The number of the current row among all rows."""
        return self._place()[1]

    def new_id(self) -> str:
        """An id for a row without one: the same in each run, different in each shard."""
        name, number = self._place()
        return f"{'row' if name == '-' else Path(name).name.partition('.')[0]}-{number:06d}"

    def save(self, content: bytes, path: Any = None) -> str:
        """Write embedded media to a file named by their content; return the reference."""
        if self.media_dir is None:
            raise UserError(
                "the rows hold embedded media; choose a folder for them with --media-dir DIR"
            )
        name = hashlib.blake2b(content, digest_size=12).hexdigest() + suffix_of(content, path)
        target = self.media_dir / name
        if not target.exists():
            try:
                self.media_dir.mkdir(parents=True, exist_ok=True)
                atomic.write(target, content)
            except OSError as error:
                raise UserError(f"{target}: {error.strerror}") from None
        return f"{self.media_name}/{name}"

    def reference(self, medium: Any) -> str:
        """The reference of an image or video of a row: a path, or {"bytes", "path"}."""
        if isinstance(medium, dict):
            content = medium.get(BYTES)
            if isinstance(content, bytes):
                return self.save(content, medium.get("path"))
            medium = next(
                (medium[k] for k in ("path", "image", "video", "url") if medium.get(k)), 0
            )
        if not isinstance(medium, str):
            raise self.error("an image or video is neither a path nor bytes")
        return medium

    def embedded(self, reference: str) -> dict:
        """The image or video as Hugging Face's Image feature holds it."""
        try:
            content = references.read(reference, self.media_root, allow_remote=self.allow_remote)
        except UserError as error:
            raise self.error(str(error)) from None
        return {BYTES: content, "path": file_name(reference)}


def file_name(reference: str) -> str | None:
    """The last part of a path or address; None for a data: URI."""
    return None if reference.startswith("data:") else Path(reference.partition("?")[0]).name


def suffix_of(content: bytes, path: Any = None) -> str:
    """The suffix of a media file, by its first bytes, or else by the path that came with it."""
    given = Path(path).suffix.lower() if isinstance(path, str) else ""
    known = given[1:].isalnum() and len(given) <= 6
    return signatures.suffix(content) or (given if known else ".bin")


def with_id(record: dict, context: Context) -> dict:
    """The record with its id first, which is made up if the row has none."""
    found = record.pop("id", None)
    if found is None or found == "":
        found = context.new_id()
    return {"id": found if isinstance(found, str) else str(found), **record}
