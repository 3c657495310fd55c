"""Bin packing from a pool: what waits is bounded, and a pack leaves when the pool is full.

A pack starts with the longest item of the pool, since that is the hardest to place, and takes those that have waited
longest while an eighth of it stays free, so that a shuffled stream gives mixed packs: with the longest that fits, again
and again, each would hold items of one length, and so of one kind. The last eighth is filled by best fit. Where that
would leave a gap, two items that fill it are sought, also in place of the last item taken.
"""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

POOL_TOKENS = 1 << 24  # that wait; at 4 bytes each 64 MiB: 512 packs of 32K, 64 of 256K. Our choice
TRIES = 64  # lengths for which a partner is sought; most gaps are filled within ten


class Pool(Generic[Item]):
    """Items that wait to be packed, by their length."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held = 0  # tokens of all items
        self._items: dict[int, deque[Item]] = {}
        self._lengths: list[int] = []  # the keys of _items, sorted
        self._waiting: deque[tuple[Item, int]] = deque()  # by age; some have been taken

    def __bool__(self) -> bool:
        return bool(self._lengths)

    def add(self, item: Item, length: int) -> None:
        """Add an item. ValueError for a length that is not from 1 to the capacity."""
        queue = self._items.get(length)
        if queue is None:
            if not 1 <= length <= self.capacity:
                raise ValueError(f"an item of {length} tokens does not fit {self.capacity}")
            queue = self._of_length(length)
        queue.append(item)
        self._waiting.append((item, length))
        self.held += length

    def pack(self) -> list[Item]:
        """Take a pack out of the pool: the longest item, and others that fill the rest."""
        items, lengths, take = self._items, self._lengths, self._take
        last = lengths[-1]
        taken, room = [take(last)], self.capacity - last
        reserve = self.capacity // 8
        while (length := self._oldest()) and room - length >= reserve:
            taken.append(take(length))
            room, last = room - length, length
        while room and lengths and lengths[0] <= room:
            if room in items:
                taken.append(take(room))
                return taken
            longest = lengths[bisect_right(lengths, room) - 1]
            if room - longest < lengths[0] and self._fill(taken, last, room):
                return taken
            queue = items[longest]
            if len(queue) > 1:  # most are: the shortest way for them
                taken.append(queue.popleft())
                self.held -= longest
            else:
                taken.append(take(longest))
            room, last = room - longest, longest
        if room:
            self._fill(taken, last, room)
        return taken

    def _fill(self, taken: list[Item], last: int, room: int) -> bool:
        """Fill a pack's room with two items, also in place of the last one, if there are such."""
        found = self._two(room)
        if not found and len(taken) > 1:
            found = self._two(room + last)
            if found:
                self._of_length(last).appendleft(taken.pop())
                self.held += last
        taken += map(self._take, found)
        return bool(found)

    def _two(self, room: int) -> tuple[int, ...]:
        """Two lengths of items that are `room` together, of nearly any size; or none."""
        items, lengths = self._items, self._lengths
        index = bisect_right(lengths, room - lengths[0]) - 1 if lengths else -1
        for place in range(index, max(-1, index - TRIES), -1):
            one = lengths[place]
            other = room - one
            if one < other:
                break
            if other in items and (one != other or len(items[one]) > 1):
                return one, other
        return ()

    def _of_length(self, length: int) -> deque[Item]:
        found = self._items.get(length)
        if found is None:
            found = self._items[length] = deque()
            insort(self._lengths, length)
        return found

    def _oldest(self) -> int:
        """The length of the item that has waited longest; 0 if there is none."""
        waiting = self._waiting
        while waiting:
            item, length = waiting[0]
            queue = self._items.get(length)
            if queue and queue[0] is item:
                return length
            waiting.popleft()
        return 0

    def _take(self, length: int) -> Item:
        """Remove and return the oldest item of this length."""
        items = self._items[length]
        item = items.popleft()
        if not items:
            del self._items[length]
            del self._lengths[bisect_left(self._lengths, length)]
        self.held -= length
        return item


def pack(
    items: Iterable[tuple[Item, int]], capacity: int, pool_tokens: int = POOL_TOKENS
) -> Iterator[list[Item]]:
    """Pack (item, length) pairs into lists of at most `capacity` tokens. ValueError for a length
    that is not from 1 to `capacity`."""
    pool: Pool[Item] = Pool(capacity)
    for item, length in items:
        pool.add(item, length)
        while pool.held > pool_tokens:
            yield pool.pack()
    while pool:
        yield pool.pack()
