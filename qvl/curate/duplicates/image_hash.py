"""Images that look the same: scaled, recompressed or converted, but not altered.

A 64-bit perceptual hash (the signs of the lowest frequencies of the cosine transform) finds candidates.
It does not see detail, and pages, charts and clocks differ in nothing else, so their 32 x 32 thumbnails
must agree as well. imagehash would need scipy for these ten lines.
"""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from qvl import record as records
from qvl.errors import UserError, need
from qvl.media import images

if TYPE_CHECKING:
    from numpy import ndarray
    from PIL.Image import Image

SIDE = 32  # pixels of a thumbnail
LOW = 8  # frequencies in each direction
BITS = LOW * LOW
MAX_BITS = 16  # more would match unrelated images
MAX_DIFFERENCE = 24  # of 255, in any pixel of the thumbnail; JPEG at quality 30 stays below (ours)


class Look(NamedTuple):
    hash: int
    thumbnail: "ndarray"  # (SIDE, SIDE) int16


class Alike:
    """A qvl.curate.duplicates.dedup.Media: images by their look, videos by their reference."""

    def __init__(self, bits: int, root: Path, *, allow_remote: bool = False) -> None:
        """Images whose hashes differ in more than `bits` are different."""
        self.bits, self.root, self.allow_remote = checked(bits), root, allow_remote
        self._looks: list[list[Look]] = []

    def probe(self, record: dict) -> tuple[list[bytes], list[Look]]:
        looks = [
            look(images.load(reference, self.root, allow_remote=self.allow_remote))
            for reference in records.images(record)
        ]
        others = orjson.dumps([len(looks), records.videos(record)])
        if not looks:
            return [others if records.videos(record) else b""], looks
        # Of bits + 1 pieces of the first hash, one at least is the same in both.
        return [others + piece for piece in pieces(looks[0].hash, self.bits + 1)], looks

    def same(self, probe: list[Look], number: int) -> bool:
        pairs = zip(probe, self._looks[number], strict=True)
        return all(alike(one, other, self.bits) for one, other in pairs)

    def add(self, probe: list[Look]) -> None:
        self._looks.append(probe)


class Gallery:
    """Looks by number; 3 kB each."""

    def __init__(self, bits: int) -> None:
        self.bits = checked(bits)
        self._looks: list[tuple[Look, int]] = []
        self._by_piece: dict[bytes, list[int]] = {}

    def add(self, shown: Look, number: int) -> None:
        for piece in pieces(shown.hash, self.bits + 1):
            self._by_piece.setdefault(piece, []).append(len(self._looks))
        self._looks.append((shown, number))

    def find(self, shown: Look) -> int | None:
        """The number of the first look that is like this one."""
        places = {
            place
            for piece in pieces(shown.hash, self.bits + 1)
            for place in self._by_piece.get(piece, ())
        }
        for place in sorted(places):
            other, number = self._looks[place]
            if alike(shown, other, self.bits):
                return number
        return None


def checked(bits: int) -> int:
    if not 0 <= bits <= MAX_BITS:
        raise UserError(f"--images {bits}: expected 0 to {MAX_BITS}, of {BITS} bits")
    return bits


def alike(one: Look, other: Look, bits: int) -> bool:
    """Whether the hashes differ in at most `bits` and no pixel of the thumbnails by much."""
    if (one.hash ^ other.hash).bit_count() > bits:
        return False
    return int(abs(one.thumbnail - other.thumbnail).max()) <= MAX_DIFFERENCE


def look(image: "Image") -> Look:
    """The perceptual hash and the thumbnail of an image."""
    numpy = need("numpy")
    box = need("PIL.Image").Resampling.BOX
    thumbnail = numpy.asarray(image.convert("L").resize((SIDE, SIDE), box))
    waves = cosines()
    low = (waves @ thumbnail.astype("float64") @ waves.T).ravel()
    bits = low > numpy.median(low)
    return Look(int.from_bytes(numpy.packbits(bits).tobytes()), thumbnail.astype("int16"))


@cache
def cosines() -> Any:
    """(LOW, SIDE): the first rows of the cosine transform (DCT-II)."""
    numpy = need("numpy")
    places = numpy.arange(SIDE) + 0.5
    return numpy.cos(numpy.pi / SIDE * numpy.arange(LOW)[:, None] * places)


def pieces(value: int, count: int) -> Iterator[bytes]:
    """The bits of a hash in `count` pieces, each with its place."""
    edges = [BITS * place // count for place in range(count + 1)]
    for start, end in pairwise(edges):
        piece = value >> start & (1 << (end - start)) - 1
        yield b"%d:%d" % (start, piece)
