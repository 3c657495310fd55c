"""Texts that are nearly the same, by MinHash and locality-sensitive hashing (datasketch).

A text is the set of its SHINGLE bytes in a row, after NFKC, case folding and joined white space:
six letters of a Latin text, two of a Chinese one, so that no language needs a tokeniser. Two texts
are near if their sets' Jaccard similarity, estimated with a standard error of 0.04 at 0.8, reaches
the threshold - and if they hold the same numbers: 17 + 25 and 17 + 26 are two questions.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qvl.curate.duplicates.dedup import digest
from qvl.errors import UserError, need

if TYPE_CHECKING:
    from numpy import ndarray

SHINGLE = 6  # bytes; our choice
NUM_PERM = 128  # datasketch's default
SEED = 1  # of the permutations: every run drops the same texts
MISSES_MATTER = (0.2, 0.8)  # weights of false candidates, which are compared anyway, and of misses
PIECE = 1 << 16  # shingles hashed at a time, 64 MiB of products

_NUMBER = re.compile(r"\d+")


class Near:
    """A qvl.curate.duplicates.dedup.Index of near-duplicates."""

    reason = "near-duplicate"

    def __init__(self, threshold: float) -> None:
        if not 0 < threshold < 1:
            raise UserError(f"--near {threshold}: expected a number between 0 and 1, such as 0.8")
        datasketch = need("datasketch")
        self._numpy = need("numpy")
        self.threshold = threshold
        self._blank = datasketch.MinHash(NUM_PERM, seed=SEED, scheme="affine64", hashfunc=int)
        self._lsh = datasketch.MinHashLSH(
            threshold, NUM_PERM, weights=MISSES_MATTER, hashfunc=digest
        )
        self._numbers: list[int] = []  # the record of each entry
        self._signatures = self._numpy.empty((1024, NUM_PERM), dtype="uint32")

    def keys(self, text: str, anchors: Sequence[bytes]) -> list[Any]:
        """The text's MinHash with each anchor and its numbers mixed in, which are then equal in all matches."""
        numbers, values = self._probe(text)
        found = []
        for anchor in anchors:
            salt = int.from_bytes(digest(numbers, anchor)[:8])
            minhash = self._blank.copy()
            minhash.hashvalues = values ^ self._numpy.uint64(salt)
            found.append(minhash)
        return found

    def _probe(self, text: str) -> tuple[bytes, "ndarray"]:
        """The numbers in the text, and the MinHash of its shingles, (NUM_PERM,) uint64."""
        text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
        numbers = " ".join(_NUMBER.findall(text)).encode()
        minhash = self._blank.copy()
        shingles = self.shingles(text.encode("utf-8", "surrogatepass"))
        for start in range(0, len(shingles), PIECE):
            minhash.update_batch(shingles[start : start + PIECE].tolist())
        return numbers, minhash.hashvalues

    def shingles(self, data: bytes) -> "ndarray":
        """The set of SHINGLE bytes in a row, each as one integer. A shorter text is one shingle."""
        numpy = self._numpy
        letters = numpy.frombuffer(data.ljust(SHINGLE, b"\0"), dtype="uint8").astype("uint64")
        count = len(letters) - SHINGLE + 1
        packed = numpy.zeros(count, dtype="uint64")
        for offset in range(SHINGLE):
            packed = packed << numpy.uint64(8) | letters[offset : offset + count]
        return numpy.unique(packed)

    def find(self, minhash: Any, /) -> list[int]:
        entries = self._lsh.query(minhash)
        if not entries:
            return []
        entries = self._numpy.array(sorted(entries))
        mine = minhash.hashvalues.astype("uint32")
        shares = (self._signatures[entries] == mine).mean(axis=1)  # (entries,)
        return [self._numbers[entry] for entry in entries[shares >= self.threshold]]

    def add(self, minhash: Any, number: int, /) -> None:
        entry = len(self._numbers)
        if entry == len(self._signatures):
            self._signatures = self._numpy.concatenate([self._signatures, self._signatures])
        self._signatures[entry] = minhash.hashvalues.astype("uint32")
        self._numbers.append(number)
        self._lsh.insert(entry, minhash, check_duplication=False)
