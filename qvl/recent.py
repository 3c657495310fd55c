"""The values used last, within a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """A mapping that forgets what was used longest ago, and does not take what is too large alone.
    Threadsafe."""

    def __init__(self, most_bytes: int, num_bytes: Callable[[Value], int]) -> None:
        """num_bytes: of a value, which does not change."""
        self.most_bytes = most_bytes
        self._num_bytes = num_bytes
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._bytes = 0
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
        size = self._num_bytes(value)
        if size > self.most_bytes:
            return []
        with self._lock:
            forgotten = [self._kept.pop(key)] if key in self._kept else []
            self._bytes += size - sum(map(self._num_bytes, forgotten))
            while self._bytes > self.most_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= self._num_bytes(oldest)
                forgotten.append(oldest)
            self._kept[key] = value
        return forgotten

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._bytes = 0
