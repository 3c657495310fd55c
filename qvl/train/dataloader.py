"""The micro-batches of a rank: chosen by the sampler, balanced over ranks, preprocessed ahead of time.

Images are read and turned into patches by processes of the rank's own, a few packs ahead; the time
that a step still waits for them is measured.
"""

import os
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from qvl.media.loader import Loader
from qvl.model.batch import Batch, make_batch
from qvl.model.shape import Shape
from qvl.pack.packed import PackedFile
from qvl.train.sampler import Sampler, balanced


class DataLoader:
    """The steps `steps`. Used as a context; leaving it ends its processes."""

    def __init__(
        self,
        packs: PackedFile,
        sampler: Sampler,
        shape: Shape,
        images: Loader | None,
        *,
        cost: Callable[[int], float],
        data_rank: tuple[int, int],
        steps: range,
        workers: int | None = None,
    ) -> None:
        """images: None on a rank that sees none. cost: of a pack, by which ranks are balanced.
        data_rank: this rank among those with data of their own, and how many they are. workers: 0
        preprocesses in the rank itself; None: half of the rank's share of the cores, at most 4."""
        self.packs, self.sampler, self.shape, self.images = packs, sampler, shape, images
        self.cost, self.data_rank = cost, data_rank
        self.workers = _workers() if workers is None else workers
        self.waited = 0.0  # seconds, since the start
        self._lines = self._loaded(steps)

    @property
    def count(self) -> int:
        """Micro-batches per step of this rank."""
        return self.sampler.batch // self.data_rank[1]

    def batches(self) -> Iterator[Batch]:
        """This rank's micro-batches of the next step, made one at a time."""
        for _ in range(self.count):
            started = time.monotonic()
            line, images = next(self._lines)
            batch = make_batch(line, self.shape, images.__getitem__ if self.images else None)
            self.waited += time.monotonic() - started
            yield batch

    def _loaded(self, steps: range) -> Iterator[tuple[dict[str, Any], dict]]:
        """The packed lines of this rank with their images, by reference."""
        chosen = (
            balanced(self.sampler.step(number), self.cost, *self.data_rank) for number in steps
        )
        lines = (self.packs[index] for own in chosen for index in own)
        images = self.images
        if images is None:
            return ((line, {}) for line in lines)
        if self.workers == 0:
            return ((line, images(line)) for line in lines)
        from qvl.processes import ordered

        # Packs without images are not sent to the processes.
        return ordered(
            ((line, None if line["images"] else {}) for line in lines), images, self.workers
        )

    def __enter__(self) -> "DataLoader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        close: Any = getattr(self._lines, "close", None)
        if close:
            close()


def _workers() -> int:
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(4, (os.cpu_count() or 1) // here // 2)
