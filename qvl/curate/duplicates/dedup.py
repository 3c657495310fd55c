"""Which records ask for the same thing as one before them.

Two records are duplicates if both their texts and their media are: a question that a template made
for a thousand images is a thousand questions. Only records that are kept are compared with.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import orjson

from qvl.errors import UserError
from qvl.record import media
from qvl.stage import Drop


class Index(Protocol):
    """Texts that were kept, by number. An anchor stands for the media: it must be the same."""

    reason: str

    def probe(self, text: str) -> Any:
        """What is computed of a text once, to look for it and to add it."""
        ...

    def find(self, probe: Any, anchor: bytes) -> Iterable[int]:
        """The numbers of kept records with this anchor whose text is the same."""
        ...

    def add(self, probe: Any, anchor: bytes, number: int) -> None: ...


class Media(Protocol):
    """What was kept of the media of each record."""

    def probe(self, record: dict) -> tuple[list[bytes], Any]:
        """Anchors, of which duplicates share at least one, and what `same` compares."""
        ...

    def same(self, probe: Any, number: int) -> bool: ...

    def add(self, probe: Any) -> None: ...


class Dedup:
    """The stage function of `qvl dedup`. Media that cannot be read are an error, or a reason."""

    def __init__(
        self,
        key: Callable[[dict], Any],
        index: Index,
        media: Media,
        *,
        drop_unreadable: bool = False,
    ) -> None:
        self.key, self.index, self.media = key, index, media
        self.drop_unreadable = drop_unreadable
        self.ids: list[str] = []

    def __call__(self, record: dict) -> Drop | None:
        value = self.key(record)
        text = value if isinstance(value, str) else _canonical(value)
        try:
            anchors, look = self.media.probe(record)
        except UserError as error:
            if not self.drop_unreadable:
                raise UserError(f"record {record.get('id')!r}: {error}") from None
            return Drop("unreadable-media", str(error))
        probe = self.index.probe(text)
        alike = (
            number
            for anchor in anchors
            for number in self.index.find(probe, anchor)
            if self.media.same(look, number)
        )
        first = min(alike, default=None)
        if first is not None:
            return Drop(self.index.reason, f"duplicate of {self.ids[first]}")
        for anchor in anchors:
            self.index.add(probe, anchor, len(self.ids))
        self.media.add(look)
        self.ids.append(str(record.get("id")))
        return None


class Exact:
    """Texts that are equal but for white space and the way Unicode composes letters.

    Case and compatibility forms count: "x\\u00b2" and "x2" are different questions.
    """

    reason = "duplicate"

    def __init__(self) -> None:
        self._first: dict[bytes, int | list[int]] = {}

    def probe(self, text: str) -> bytes:
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
        return " ".join(text.split()).encode("utf-8", "surrogatepass")

    def find(self, probe: bytes, anchor: bytes) -> Iterator[int]:
        found = self._first.get(digest(probe, anchor))
        if isinstance(found, int):
            yield found
        elif found:
            yield from found

    def add(self, probe: bytes, anchor: bytes, number: int) -> None:
        key = digest(probe, anchor)
        found = self._first.setdefault(key, number)
        if isinstance(found, list):
            found.append(number)
        elif found != number:
            self._first[key] = [found, number]


class References:
    """Media are the same if their references are, in the same order."""

    def probe(self, record: dict) -> tuple[list[bytes], None]:
        found = list(media(record))
        return [_canonical(found).encode() if found else b""], None

    def same(self, probe: None, number: int) -> bool:
        return True

    def add(self, probe: None) -> None:
        pass


def digest(*parts: bytes) -> bytes:
    """16 bytes; among 10^9 texts two would be mixed up once in 10^20 tries."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(len(part).to_bytes(8))
        state.update(part)
    return state.digest()


def _canonical(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
