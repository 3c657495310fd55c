"""Which packs a step takes: the same for every rank and for a resumed run, from the seed alone."""

import random
from functools import lru_cache


class Order:
    """`count` packs, shuffled anew in each epoch, one epoch behind the other."""

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self.count, self.batch, self.seed = count, batch, seed

    def step(self, number: int) -> list[int]:
        """The packs of step `number`, from 0; rank r of n takes those at r, r + n, ..."""
        first = number * self.batch
        return [self._pack(place) for place in range(first, first + self.batch)]

    def num_steps(self, epochs: float) -> int:
        """Steps that see every pack `epochs` times; the last one goes on into the next epoch."""
        return max(1, -(-round(epochs * self.count) // self.batch))

    def _pack(self, place: int) -> int:
        epoch, index = divmod(place, self.count)
        return _shuffled(self.count, self.seed, epoch)[index]


@lru_cache(maxsize=2)
def _shuffled(count: int, seed: int, epoch: int) -> list[int]:
    packs = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(packs)
    return packs
