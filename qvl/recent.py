"""The values used last, within a size."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """A mapping that forgets what was used longest ago, and does not take what is too large alone.
    Threadsafe."""

    def __init__(self, most: int, size: Callable[[Value], int] = lambda _: 1) -> None:
        """most: the size of all together. size: of a value, which does not change; by default they are
        counted."""
        self.most, self._size = most, size
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._total = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    def get(self, key: Key) -> Value | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Key, value: Value) -> list[Value]:
        """Keep a value in place of the key's former one; returns what is forgotten for it."""
        size = self._size(value)
        if size > self.most:
            return []
        with self._lock:
            forgotten = [self._kept.pop(key)] if key in self._kept else []
            self._total += size - sum(map(self._size, forgotten))
            while self._total > self.most:
                _, oldest = self._kept.popitem(last=False)
                self._total -= self._size(oldest)
                forgotten.append(oldest)
            self._kept[key] = value
        return forgotten

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._total = 0
