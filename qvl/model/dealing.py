"""Which of the ranks that share a pack's tokens computes which of its images.

Without it every rank of tensor and context parallelism would compute all of them, and read them first.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from qvl.media.patches import Grid
from qvl.model.shape import VisionShape


class Share(NamedTuple):
    """A rank among those that share the tokens of a pack."""

    rank: int = 0
    ranks: int = 1


ALL = Share()


def deal(grids: Sequence[Grid], shape: VisionShape, ranks: int) -> list[list[int]]:
    """The images of each rank by index, those of one grid next to each other: the costliest first, each
    to the rank with the least work. The same on every rank."""
    hands: list[list[int]] = [[] for _ in range(ranks)]
    loads = [(0.0, rank) for rank in range(ranks)]
    costs = [_cost(grid, shape) for grid in grids]
    for index in sorted(range(len(grids)), key=lambda index: (-costs[index], index)):
        load, rank = heapq.heappop(loads)
        heapq.heappush(loads, (load + costs[index], rank))
        hands[rank].append(index)
    return [sorted(hand, key=lambda index: (grids[index], index)) for hand in hands]


def _cost(grid: Grid, shape: VisionShape) -> float:
    """Of an image, by the operations of a layer; a frame attends within itself."""
    frames, rows, columns = grid
    patches = rows * columns
    weights = 4 * shape.hidden**2 + 2 * shape.hidden * shape.ffn
    return frames * patches * (weights + 2 * shape.hidden * patches)
