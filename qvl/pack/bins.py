"""Bin packing: best fit, online, in bounded memory.

Each item is put, in the order of the stream, into the open pack with the least room that holds it. So
neighbours in the stream stay close, and a shuffled stream gives mixed packs.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

OPEN_TOKENS = 1 << 25  # tokens held in open packs; at 4 bytes each 128 MiB. Our choice


class Packs(Generic[Item]):
    """The open packs, by their free room."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held = 0  # tokens in open packs
        self._by_room: dict[int, deque[list[Item]]] = {}
        self._rooms: list[int] = []  # the keys of _by_room, sorted

    def add(self, item: Item, length: int) -> list[Item] | None:
        """Place an item; return its pack if that is full now."""
        index = bisect_left(self._rooms, length)
        room = self._rooms[index] if index < len(self._rooms) else self.capacity
        pack = self._take(room) if index < len(self._rooms) else []
        pack.append(item)
        if room == length:
            self.held -= self.capacity - room
            return pack
        self.held += length
        self._put(room - length, pack)
        return None

    def fullest(self) -> list[Item]:
        """Close and return the open pack with the least room."""
        room = self._rooms[0]
        self.held -= self.capacity - room
        return self._take(room)

    def __len__(self) -> int:
        return sum(len(packs) for packs in self._by_room.values())

    def _put(self, room: int, pack: list[Item]) -> None:
        if room not in self._by_room:
            self._by_room[room] = deque()
            insort(self._rooms, room)
        self._by_room[room].append(pack)

    def _take(self, room: int) -> list[Item]:
        """Remove and return the oldest pack with this room."""
        packs = self._by_room[room]
        pack = packs.popleft()
        if not packs:
            del self._by_room[room]
            self._rooms.pop(bisect_left(self._rooms, room))
        return pack


def pack(
    items: Iterable[tuple[Item, int]], capacity: int, open_tokens: int = OPEN_TOKENS
) -> Iterator[list[Item]]:
    """Pack (item, length) pairs into lists of at most `capacity` tokens. ValueError for a length
    that is not from 1 to `capacity`."""
    packs: Packs[Item] = Packs(capacity)
    for item, length in items:
        if not 1 <= length <= capacity:
            raise ValueError(f"an item of {length} tokens does not fit {capacity}")
        full = packs.add(item, length)
        if full is not None:
            yield full
        while packs.held > open_tokens:
            yield packs.fullest()
    while len(packs):
        yield packs.fullest()
