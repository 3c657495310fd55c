"""Which packs a step takes: the same on every rank and in a resumed run, from the seed alone."""

import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache


class Sampler:
    """`count` packs, shuffled anew in each epoch, one epoch after the other.

    `extra` more packs, numbered after them, take `share` of the places, evenly between the others;
    they too come in shuffled epochs, of their own.
    """

    def __init__(
        self, count: int, batch: int, seed: int, *, extra: int = 0, share: float = 0.0
    ) -> None:
        """batch: packs per step."""
        self.count, self.batch, self.seed, self.extra = count, batch, seed, extra
        self.share = Fraction(share).limit_denominator(1000)  # no rounding, however far the run

    def step(self, number: int) -> list[int]:
        """The packs of step `number`, from 1."""
        first = (number - 1) * self.batch
        return [self._pack(place) for place in range(first, first + self.batch)]

    def num_steps(self, epochs: float) -> int:
        """Steps that see every one of the `count` packs `epochs` times; the last one continues into
        the next epoch."""
        places = -(-round(epochs * self.count) // (1 - self.share))
        return max(1, -(-places // self.batch))

    def _pack(self, place: int) -> int:
        extras = int(self.share * place)
        if int(self.share * (place + 1)) > extras:
            epoch, index = divmod(extras, self.extra)
            return self.count + _shuffled(self.extra, f"{self.seed}/extra/{epoch}")[index]
        epoch, index = divmod(place - extras, self.count)
        return _shuffled(self.count, f"{self.seed}/{epoch}")[index]


def balanced(
    packs: Sequence[int], cost: Callable[[int], float], rank: int, ranks: int
) -> list[int]:
    """The packs of one of `ranks` ranks, so that all have equally many and nearly the same work:
    sorted by cost and assigned in rows of alternating direction."""
    packs = sorted(packs, key=cost, reverse=True)
    rows = [packs[start : start + ranks] for start in range(0, len(packs), ranks)]
    return [row[rank if number % 2 == 0 else -1 - rank] for number, row in enumerate(rows)]


@lru_cache(maxsize=4)
def _shuffled(count: int, seed: str) -> list[int]:
    packs = list(range(count))
    random.Random(seed).shuffle(packs)
    return packs
