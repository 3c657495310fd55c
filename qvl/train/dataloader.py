"""The micro-batches of a rank: chosen by the sampler, balanced over ranks, preprocessed ahead of time.

Images are read and divided into patches by processes of the rank's own, ahead of time and within a limit of
bytes (read_ahead); the time that a step still waits for them is measured. Of the ranks that share a pack, each
reads the images that it computes.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from qvl.media.loader import Loader
from qvl.model.batch import Batch, Load, make_batch
from qvl.model.dealing import ALL, Share, deal
from qvl.model.shape import Shape
from qvl.pack.packed_file import PackedFile
from qvl.train.read_ahead import LIMIT, ReadAhead
from qvl.train.sampler import balanced


class Order(Protocol):
    """Which packs a step takes; see qvl.train.sampler."""

    batch: int

    def step(self, number: int) -> list[int]: ...


class DataLoader:
    """The steps `steps`. Used as a context; leaving it ends its processes."""

    def __init__(
        self,
        packs: PackedFile,
        sampler: Order,
        shape: Shape,
        images: Loader | None,
        *,
        cost: Callable[[int], float],
        data_rank: tuple[int, int],
        steps: range,
        share: Share = ALL,
        workers: int | None = None,
        read_ahead: int = LIMIT,
    ) -> None:
        """images: None on a rank that sees none. cost: of a pack, by which ranks are balanced.
        data_rank: this rank among those with data of their own, and how many they are. share: this rank
        among those with the same data. workers: 0 preprocesses in the rank itself; None: half of the
        rank's share of the cores, at most 4. read_ahead: bytes of patches that wait, at most."""
        self.packs, self.sampler, self.shape, self.images = packs, sampler, shape, images
        self.cost, self.data_rank = cost, data_rank
        self.share, self.read_ahead = share, read_ahead
        self.workers = _workers() if workers is None else workers
        self.waited = 0.0  # seconds, since the start
        self._open = contextlib.ExitStack()
        self._lines = self._loaded(steps)

    @property
    def count(self) -> int:
        """Micro-batches per step of this rank."""
        return self.sampler.batch // self.data_rank[1]

    def batches(self) -> Iterator[Batch]:
        """This rank's micro-batches of the next step, made one at a time."""
        for _ in range(self.count):
            started = time.monotonic()
            line, patches = next(self._lines)
            load = self._load(line) if self.images else None
            batch = make_batch(line, self.shape, load, self.share, patches)
            self.waited += time.monotonic() - started
            yield batch

    def _loaded(self, steps: range) -> Iterator[tuple[dict[str, Any], np.ndarray | None]]:
        """The packed lines of this rank, with the patches of its images where they are read ahead."""
        chosen = (
            balanced(self.sampler.step(number), self.cost, *self.data_rank) for number in steps
        )
        lines = (self.packs[index] for own in chosen for index in own)
        if self.images is None or self.workers == 0:
            return ((line, None) for line in lines)
        ahead = ReadAhead(
            lines,
            self._own,
            self.images,
            self.shape,
            self.workers,
            self.read_ahead,
        )
        return iter(self._open.enter_context(ahead))

    def _own(self, line: dict[str, Any]) -> list[int]:
        """The images of a line that this rank computes, in their order."""
        grids = [tuple(grid) for grid in line["grids"]]
        return deal(grids, self.shape.vision, self.share.ranks)[self.share.rank]

    def _load(self, line: dict[str, Any]) -> Load:
        """Reads an image of a line here, where none is read ahead."""
        assert self.images is not None
        own = [line["images"][index] for index in self._own(line)]
        return self.images.lazily({"images": own})

    def __enter__(self) -> "DataLoader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()


def _workers() -> int:
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(4, (os.cpu_count() or 1) // here // 2)
