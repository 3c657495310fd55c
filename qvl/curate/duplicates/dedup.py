"""Which records repeat an earlier one.

Two records are duplicates if both their texts and their media are: a template's question about a thousand
images is a thousand questions. A record is compared with those that were kept.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import orjson

from qvl.curate.duplicates.hash_table import HashTable
from qvl.io.disk_list import DiskList
from qvl.media.errors import MediaError, of_record
from qvl.record import media
from qvl.stage import Drop
from qvl.streams.functions import to_json


class Index(Protocol):
    """The texts of kept records, by number. An anchor stands for the media and must be equal."""

    reason: str

    def keys(self, text: str, anchors: Sequence[bytes]) -> list[Any]:
        """What `find` and `add` need of a text, computed once: a key for each anchor."""
        ...

    def find(self, key: Any, /) -> Iterable[int]:
        """The numbers of kept records with this anchor and a duplicate text."""
        ...

    def add(self, key: Any, number: int, /) -> None: ...


class Media(Protocol):
    """The media of kept records."""

    def probe(self, record: dict) -> tuple[list[bytes], Any]:
        """Anchors, at least one of which duplicates share, and what `same` compares."""
        ...

    def same(self, probe: Any, number: int) -> bool: ...

    def add(self, probe: Any) -> None: ...


class Dedup:
    """The stage function of `qvl dedup`. Unreadable media are an error, or a reason to drop."""

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
        self.ids = DiskList()

    def __call__(self, record: dict) -> Drop | None:
        value = self.key(record)
        text = value if isinstance(value, str) else _canonical(value)
        try:
            anchors, look = self.media.probe(record)
        except MediaError as error:
            if not self.drop_unreadable:
                raise of_record(record, error) from None
            return Drop("unreadable-media", str(error))
        keys = self.index.keys(text, anchors)
        first = None
        for key in keys:
            for number in self.index.find(key):
                if (first is None or number < first) and self.media.same(look, number):
                    first = number
        if first is not None:
            return Drop(self.index.reason, f"duplicate of {self.ids[first]}")
        number = len(self.ids)
        for key in keys:
            self.index.add(key, number)
        self.media.add(look)
        self.ids.append(str(record.get("id")))
        return None


_TO_SPACES = bytes(ord(" ") if chr(byte).isspace() else byte for byte in range(128)) + bytes(128)


class Exact:
    """Texts that are equal except for white space and Unicode composition.

    Case and compatibility forms count: "x\\u00b2" and "x2" are different questions.
    """

    reason = "duplicate"

    def __init__(self) -> None:
        table = HashTable()
        self.find, self.add = table.find, table.add

    def keys(self, text: str, anchors: Sequence[bytes]) -> list[bytes]:
        data, keys = joined(text), []
        for anchor in anchors:
            hashed = hashlib.blake2b(data, digest_size=16)
            if anchor:
                hashed.update(
                    b"\n" + anchor
                )  # `joined` leaves no line feed: other parts, other data
            keys.append(hashed.digest())
        return keys


def joined(text: str) -> bytes:
    """The words of a text with one space between two, in Unicode's composed form."""
    if not text.isascii():
        words = unicodedata.normalize("NFC", text).split()
        return " ".join(words).encode("utf-8", "surrogatepass")
    # A quarter of the time of taking words apart and joining them.
    data = text.encode().translate(_TO_SPACES)
    while data.rfind(b"  ") >= 0:  # `in` takes half as long again
        data = data.replace(b"  ", b" ")
    return data.strip(b" ")


class References:
    """Media are the same if their references are, in the same order."""

    def probe(self, record: dict) -> tuple[list[bytes], None]:
        found = media(record)
        return [orjson.dumps(found) if found else b""], None

    def same(self, probe: None, number: int) -> bool:
        return True

    def add(self, probe: None) -> None:
        pass


def digest(*parts: bytes) -> bytes:
    """A hash of 16 bytes; among 10^9 texts a collision has a chance of 10^-20."""
    lengths = b"".join([len(part).to_bytes(8) for part in parts])
    return hashlib.blake2b(lengths + b"".join(parts), digest_size=16).digest()


def _canonical(value: Any) -> str:
    return to_json(value, sort_keys=True)
