"""The micro-batches of a rank: chosen by the order, dealt evenly, their images cut ahead of time.

Images are read and cut into patches by processes of the rank's own, a few packs ahead; the time that
a step still waits for one is counted.
"""

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from qvl.media.loader import Loader
from qvl.model.batch import Batch, make_batch
from qvl.model.shape import Shape
from qvl.pack.packed import PackedFile
from qvl.train.sampler import Order, deal


class Feed:
    """Steps `first` to `last`, from 1. Used as a context; leaving it ends its processes."""

    def __init__(
        self,
        packs: PackedFile,
        order: Order,
        shape: Shape,
        images: Loader | None,
        *,
        cost: Callable[[int], float],
        place: tuple[int, int],
        steps: tuple[int, int],
        workers: int,
    ) -> None:
        """`images`: None on a rank that sees none. `place`: this rank among those with data of
        their own, and how many they are. `workers`: 0 cuts images in the rank itself."""
        self.packs, self.order, self.shape, self.images = packs, order, shape, images
        self.cost, self.place, self.workers = cost, place, workers
        self.waited = 0.0  # seconds, since the start
        self._lines = self._loaded(*steps)

    @property
    def count(self) -> int:
        """Micro-batches of a step that are this rank's."""
        return self.order.batch // self.place[1]

    def step(self, number: int) -> list[int]:
        """The packs of step `number`, over all ranks."""
        return self.order.step(number - 1)

    def batches(self) -> Iterator[Batch]:
        """This rank's micro-batches of the next step; they are made as they are asked for."""
        for _ in range(self.count):
            started = time.monotonic()
            line, images = next(self._lines)
            batch = make_batch(line, self.shape, images.__getitem__ if self.images else None)
            self.waited += time.monotonic() - started
            yield batch

    def _loaded(self, first: int, last: int) -> Iterator[tuple[dict[str, Any], dict]]:
        numbers = range(first, last + 1)
        dealt = (deal(self.step(number), self.cost, *self.place) for number in numbers)
        lines = (self.packs[index] for own in dealt for index in own)
        images = self.images
        if images is None:
            return ((line, {}) for line in lines)
        if self.workers == 0:
            return ((line, images(line)) for line in lines)
        from qvl.processes import ordered

        # Packs without images are not sent about.
        return ordered(
            ((line, None if line["images"] else {}) for line in lines), images, self.workers
        )

    def __enter__(self) -> "Feed":
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
