"""Numbers by hash in little memory: 22 to 43 bytes a number, where a dict of bytes takes 200."""

from array import array
from struct import Struct

PARTS = 256  # tables, of which one grows at a time
SHIFT = 7  # of a hash: its 8 low bits choose the table, and a slot has two words
SLOTS = 8  # of a table at first
FULL = 0.75  # share of the slots that may be taken
NUMBER_BITS = 40  # of a slot's second word; the others hold more of the hash
_WORDS = Struct("<QQ").unpack
_MASK = (1 << NUMBER_BITS) - 1


class HashTable:
    """Numbers below 2^40 by hashes of 16 bytes, of which 88 bits count.

    Among 10^9 hashes, two that differ are taken for equal with a chance of 10^-9.
    """

    def __init__(self) -> None:
        # Open addressing: slot n is words 2n and 2n + 1; an empty one has a second word of 0.
        self._tables = [array("Q", bytes(16 * SLOTS)) for _ in range(PARTS)]
        self._counts = [0] * PARTS
        # The key last looked for, and the empty slot after it: `add` follows `find`.
        self._found = (b"", 0, 0, 0, 0)

    def find(self, key: bytes) -> list[int]:
        """The numbers that were added with this hash, in order."""
        first, second = _WORDS(key)
        part = first % PARTS
        table = self._tables[part]
        last = len(table) - 2  # sizes are powers of two, so this is a mask, too
        at = first >> SHIFT & last
        found = []
        while word := table[at + 1]:
            if table[at] == first and word >> NUMBER_BITS == second >> NUMBER_BITS:
                found.append((word & _MASK) - 1)
            at = at + 2 & last
        self._found = key, part, at, first, second
        return found

    def add(self, key: bytes, number: int) -> None:
        if self._found[0] is not key:
            self.find(key)
        part = self._found[1]
        if 2 * self._counts[part] >= FULL * len(self._tables[part]):
            self._grow(part)
            self.find(key)
        _, part, at, first, second = self._found
        self._counts[part] += 1
        _put(self._tables[part], at, first, second >> NUMBER_BITS << NUMBER_BITS | number + 1)

    def _grow(self, part: int) -> None:
        small = self._tables[part]
        large = array("Q", bytes(2 * small.itemsize * len(small)))
        # From an empty slot on, so that numbers with the same hash keep their order.
        start = next(at for at in range(0, len(small), 2) if not small[at + 1])
        for at in (*range(start, len(small), 2), *range(0, start, 2)):
            if small[at + 1]:
                _put(large, small[at] >> SHIFT, small[at], small[at + 1])
        self._tables[part] = large


def _put(table: array, at: int, first: int, second: int) -> None:
    """Into the first empty slot from `at` on."""
    last = len(table) - 2
    at &= last
    while table[at + 1]:
        at = at + 2 & last
    table[at], table[at + 1] = first, second
