"""What a conversion carries along: where media lie, what was lost, ids for rows without one."""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.io import atomic
from qvl.media import images, signatures

BYTES = "bytes"  # the key of embedded media in Hugging Face's Image feature, beside "path"


class Lost(UserError):
    """The row contradicts itself, or holds what the other side cannot."""


class Trade:
    """One direction of a conversion.

    holder: who holds, in the words of an error. media_root: where the references of records start.
    media_dir: where embedded bytes are written; `media_name` is how the output refers to it.
    lossy: drop what cannot be held, and count it. think_tags: reasoning_content travels as <think>
    in the text of formats without a field for it. place: where the present row lies, as the name of
    its file and its number among all rows.
    """

    def __init__(
        self,
        holder: str = "the format",
        *,
        media_root: Path = Path(),
        media_dir: Path | None = None,
        media_name: str = "",
        allow_remote: bool = False,
        lossy: bool = False,
        think_tags: bool = False,
        place: Callable[[], tuple[str, int]] = lambda: ("row", 1),
    ) -> None:
        self.holder = holder
        self.media_root, self.allow_remote = media_root, allow_remote
        self.media_dir = media_dir
        self.media_name = media_name or (media_dir.name if media_dir else "")
        self.lossy, self.think_tags = lossy, think_tags
        self.losses: Counter[str] = Counter()  # of the present row
        self._place = place
        self._id: Any = None

    def begin(self, row: dict) -> None:
        """A new row or record comes."""
        self._id = row.get("id")
        self.losses.clear()

    def lose(self, what: str) -> None:
        """Say that the other side cannot hold `what`; raises unless losing is allowed."""
        if not self.lossy:
            raise Lost(
                f"{self._row('record')}{self.holder} cannot hold {what}; drop it with --lossy, "
                "or put such records aside with --on-error reject"
            )
        self.losses[what] += 1

    def wrong(self, problem: str) -> Lost:
        """The error of a row that contradicts itself."""
        return Lost(f"{self._row('row')}{problem}")

    def _row(self, kind: str) -> str:
        return "" if self._id is None else f"{kind} {self._id!r}: "

    @property
    def number(self) -> int:
        return self._place()[1]

    def new_id(self) -> str:
        """An id for a row that has none: the same in each run, and in each shard another."""
        name, number = self._place()
        return f"{'row' if name == '-' else Path(name).name.partition('.')[0]}-{number:06d}"

    def save(self, content: bytes, path: Any = None) -> str:
        """Write embedded media to a file named by its content; return the reference."""
        if self.media_dir is None:
            raise UserError("the rows hold media; say where to write it with --media-dir DIR")
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
        """The reference of a medium as rows give it: a path, or {"bytes", "path"}."""
        if isinstance(medium, dict):
            content = medium.get(BYTES)
            if isinstance(content, bytes):
                return self.save(content, medium.get("path"))
            medium = next(
                (medium[k] for k in ("path", "image", "video", "url") if medium.get(k)), 0
            )
        if not isinstance(medium, str):
            raise self.wrong("a medium is neither a path nor bytes")
        return medium

    def embedded(self, reference: str) -> dict:
        """A medium as Hugging Face's Image feature holds it."""
        try:
            content = images.read(reference, self.media_root, allow_remote=self.allow_remote)
        except UserError as error:
            raise self.wrong(str(error)) from None
        return {BYTES: content, "path": file_name(reference)}


def file_name(reference: str) -> str | None:
    """The last part of a path or address; a data: URI has none."""
    return None if reference.startswith("data:") else Path(reference.partition("?")[0]).name


def suffix_of(content: bytes, path: Any = None) -> str:
    """The suffix of a media file, by its first bytes, or else by the path that came with it."""
    given = Path(path).suffix.lower() if isinstance(path, str) else ""
    known = given[1:].isalnum() and len(given) <= 6
    return signatures.suffix(content) or (given if known else ".bin")


def with_id(record: dict, trade: Trade) -> dict:
    """The record, its id first; one is made where the row had none."""
    found = record.pop("id", None)
    if found is None or found == "":
        found = trade.new_id()
    return {"id": found if isinstance(found, str) else str(found), **record}
