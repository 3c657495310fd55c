"""Images of packed lines, read ahead by processes of a rank, within a limit of bytes.

A process writes the patches of a line into memory that it shares with the rank: none goes through a pipe.
The memory has no name (memfd), so a rank that is killed leaves none behind.
"""

import math
import mmap
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qvl.media.loader import Loader
from qvl.model.batch import loaded, naming_records
from qvl.model.shape import Shape
from qvl.processes import Pool, Reply

LIMIT = 2 << 30  # bytes of patches that a rank holds ahead: our choice, 85 images of 4 megapixels
Line = dict[str, Any]


@dataclass(frozen=True)
class Fill:
    """Reads images into shared memory; runs in a process of its own."""

    loader: Loader

    def __call__(self, task: dict[str, Any]) -> None:
        found = self.loader(task)
        with (
            Path(task["memory"]).open("r+b") as file,
            mmap.mmap(file.fileno(), task["bytes"]) as shared,
        ):
            start = 0
            for reference, grid in zip(task["images"], task["grids"], strict=True):
                patches = loaded(reference, tuple(grid), found.__getitem__)
                shared[start : start + patches.nbytes] = patches.tobytes()
                start += patches.nbytes


class ReadAhead:
    """Yields (line, patches of its chosen images (P, values), None without any) in order.

    Used as a context; leaving it ends the processes. `held`: bytes of patches that are being read or wait.
    """

    def __init__(
        self,
        lines: Iterable[Line],
        choose: Callable[[Line], Sequence[int]],
        loader: Loader,
        shape: Shape,
        workers: int,
        limit: int = LIMIT,
    ) -> None:
        """choose: which images of a line this rank reads, by index. workers: processes. limit: of
        `held`; a line that is larger by itself waits until it is alone."""
        self._lines, self._choose, self._limit = iter(lines), choose, limit
        self._shape, self._itemsize = shape, 1 if loader.in_bytes else 4
        self._dtype = np.uint8 if loader.in_bytes else np.float32
        self._pool = Pool(Fill(loader), workers)
        self._threads = ThreadPoolExecutor(workers)
        self._window: deque[tuple[Line, _Pending | None]] = deque()
        self._next: tuple[Line, list[int], int] | None = None
        self._most = 4 * workers  # lines, where they have few images or none
        self.held = 0

    def __iter__(self) -> Iterator[tuple[Line, np.ndarray | None]]:
        while True:
            self._fill()
            if not self._window:
                return
            line, pending = self._window.popleft()
            if pending is None:
                yield line, None
                continue
            with naming_records(line, self._shape):
                patches = pending.patches(self._dtype)
            self.held -= pending.bytes
            self._fill()
            yield line, patches

    def _fill(self) -> None:
        """Begin to read further lines, as far as the limit allows."""
        while len(self._window) < self._most:
            if self._next is None:
                line = next(self._lines, None)
                if line is None:
                    return
                own = list(self._choose(line)) if line["images"] else []
                grids = [line["grids"][index] for index in own]
                size = sum(map(math.prod, grids)) * self._shape.vision.patch_values * self._itemsize
                self._next = line, own, size
            line, own, size = self._next
            if self.held and self.held + size > self._limit:
                return
            self._next = None
            self._window.append((line, self._begin(line, own, size) if own else None))

    def _begin(self, line: Line, own: list[int], size: int) -> "_Pending":
        self.held += size
        file = _memory(size)
        task = {
            "images": [line["images"][index] for index in own],
            "grids": [line["grids"][index] for index in own],
            "memory": f"/proc/{os.getpid()}/fd/{file}",
            "bytes": size,
        }
        values = self._shape.vision.patch_values
        return _Pending(file, size, values, self._threads.submit(self._pool, [task]))

    def __enter__(self) -> "ReadAhead":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pool.close()
        for _line, waiting in self._window:
            if waiting is not None:
                os.close(waiting.file)
        self._window.clear()


@dataclass
class _Pending:
    """Patches that are being read."""

    file: int
    bytes: int
    values: int
    reply: "Future[Reply]"

    def patches(self, dtype: Any) -> np.ndarray:
        """Wait for them. They stay in the shared memory, as long as something refers to them."""
        error = self.reply.result().error
        if error is not None:
            raise error
        shared = mmap.mmap(self.file, self.bytes)
        os.close(self.file)
        return np.frombuffer(shared, dtype).reshape(-1, self.values)


def _memory(size: int) -> int:
    """The descriptor of so many bytes of memory without a name. OSError where there are not so many."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("qvl-patches", os.MFD_CLOEXEC)
    else:  # not Linux
        with tempfile.TemporaryFile() as made:
            file = os.dup(made.fileno())
    os.ftruncate(file, size)
    return file
