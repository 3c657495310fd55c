"""Which packs a step takes: the same on every rank and in a resumed run, from the seed alone."""

import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate


class Sampler:
    """`counts` packs in parts that follow one another, each shuffled anew in each epoch.

    A part is passed `epochs` times before the next begins, the last one as long as steps remain. With
    one part, the usual case, that is one shuffled epoch after the other. `extra` more packs, numbered
    after them, take `share` of the places, evenly between the others; they too come in shuffled
    epochs, of their own.
    """

    def __init__(
        self,
        counts: Sequence[int],
        batch: int,
        seed: int,
        *,
        epochs: float = 1.0,
        extra: int = 0,
        share: float = 0.0,
    ) -> None:
        """counts: packs of each part. batch: packs per step."""
        self.counts, self.batch, self.seed, self.extra = tuple(counts), batch, seed, extra
        self.count = sum(counts)
        self._places = [round(epochs * count) for count in counts]  # of each part
        self.share = Fraction(share).limit_denominator(1000)  # no rounding, however far the run

    def step(self, number: int) -> list[int]:
        """The packs of step `number`, from 1."""
        first = (number - 1) * self.batch
        return [self._pack(place) for place in range(first, first + self.batch)]

    @property
    def num_steps(self) -> int:
        """Steps that see every part `epochs` times; the last one continues into the next epoch."""
        places = -(-sum(self._places) // (1 - self.share))
        return max(1, -(-places // self.batch))

    def begins_part(self, number: int) -> bool:
        """Whether step `number` has the first pack of a part other than the first."""
        last = number * self.batch
        first = last - self.batch
        own = [place - int(self.share * place) for place in (first, last)]
        return any(own[0] <= start < own[1] for start in accumulate(self._places[:-1]))

    def _pack(self, place: int) -> int:
        extras = int(self.share * place)
        if int(self.share * (place + 1)) > extras:
            epoch, index = divmod(extras, self.extra)
            return self.count + _shuffled(self.extra, f"{self.seed}/extra/{epoch}")[index]
        place, first, part = place - extras, 0, 0
        while part < len(self.counts) - 1 and place >= self._places[part]:
            place -= self._places[part]
            first += self.counts[part]
            part += 1
        epoch, index = divmod(place, self.counts[part])
        seed = f"{self.seed}/{part}/{epoch}" if part else f"{self.seed}/{epoch}"
        return first + _shuffled(self.counts[part], seed)[index]


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
