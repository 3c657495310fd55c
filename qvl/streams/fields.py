"""Which fields of an expression no record has: most often a name that is misspelt."""

import difflib
from collections.abc import Iterable
from typing import Any

LOOKS = 1000  # records whose fields are remembered, to name the nearest


class Fields:
    """The fields of an expression, as paths of names, until a record has them."""

    def __init__(self, paths: Iterable[tuple[str, ...]]) -> None:
        self.absent: dict[tuple[str, ...], set[str]] = {path: set() for path in paths}
        """Paths that no record has had so far, and the names that stood where the path ended."""
        self._looks = 0

    def look(self, record: Any) -> None:
        """Take note of a record; needed only while some are absent."""
        self._looks += 1
        for path, near in list(self.absent.items()):
            value = record
            for depth, name in enumerate(path):
                if not isinstance(value, dict):
                    break
                if name not in value:
                    if self._looks <= LOOKS:
                        near.update(".".join((*path[:depth], key)) for key in value)
                    break
                value = value[name]
            else:
                del self.absent[path]

    def __str__(self) -> str:
        """ "'tsak' (did you mean 'task'?)" """
        said = []
        for path, near in self.absent.items():
            name = ".".join(path)
            # What stood beside the first missing name is near; the names below it are the user's.
            found = [*difflib.get_close_matches(name, near, 1, 0.7)]
            found += [
                best
                for depth in range(len(path) - 1, 0, -1)
                for best in difflib.get_close_matches(".".join(path[:depth]), near, 1, 0.7)
            ]
            said.append(f"{name!r}" + (f" (did you mean {found[0]!r}?)" if found else ""))
        return ", ".join(said)
