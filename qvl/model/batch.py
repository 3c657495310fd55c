"""A packed line becomes the tensors of one micro-batch.

Shapes: T tokens of the pack, N patches, M image tokens, R tokens to learn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qvl.errors import UserError
from qvl.media import images
from qvl.media.patches import Grid
from qvl.model import rope
from qvl.model.shape import Shape

Load = Callable[[str], tuple[np.ndarray, Grid]]  # a reference -> its patches and grid


@dataclass
class Batch:
    """One pack. Images come sorted by grid, so that equal ones attend in one call."""

    ids: Tensor
    """(T,)"""
    lengths: list[int]
    positions: Tensor
    """(3, T)"""
    rows: Tensor
    """(R,) the positions whose next token is learnt."""
    labels: Tensor
    """(R,) those next tokens."""
    weights: Tensor
    """(R,) their loss weights."""
    patches: Tensor | None = None
    """(N, values of a patch)"""
    grids: Sequence[Grid] = ()
    image_rows: Tensor | None = None
    """(M,) where the tower's tokens go, in its order."""
    records: Sequence[str] = ()

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        fields = {name: value for name, value in vars(self).items() if torch.is_tensor(value)}
        return replace(self, **{name: value.to(device) for name, value in fields.items()})


def make_batch(line: dict[str, Any], shape: Shape, load: Load | None) -> Batch:
    """The tensors of a packed line; without `load`, for a stage that sees no images.

    UserError where an image has changed since it was packed.
    """
    ids = np.asarray(line["input_ids"], dtype=np.int64)
    grids = [tuple(grid) for grid in line["grids"]]
    seen = np.isin(ids, (shape.image_id, shape.video_id))
    merge = shape.vision.merge
    rows, weights = _learnt(line["loss_weights"])
    batch = Batch(
        ids=torch.from_numpy(ids),
        lengths=line["lengths"],
        positions=torch.from_numpy(rope.positions(seen, line["lengths"], grids, merge)),
        rows=torch.from_numpy(rows),
        labels=torch.from_numpy(ids[rows + 1]),
        weights=torch.from_numpy(weights),
        records=line["records"],
    )
    if grids and load:
        _add_images(batch, seen, line["images"], grids, merge, load)
    return batch


def _learnt(spans: Sequence[Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Spans [start, end, weight] of learnt tokens -> the rows before them, and the weights."""
    rows = [np.arange(start - 1, end - 1) for start, end, _ in spans]
    weights = [np.full(int(end - start), weight, np.float32) for start, end, weight in spans]
    return np.concatenate(rows), np.concatenate(weights)


def _add_images(
    batch: Batch,
    seen: np.ndarray,
    references: Sequence[str],
    grids: list[Any],
    merge: int,
    load: Load,
) -> None:
    counts = [frames * rows * columns // merge**2 for frames, rows, columns in grids]
    places = np.split(np.flatnonzero(seen), np.cumsum(counts)[:-1])
    order = sorted(range(len(grids)), key=lambda index: grids[index])
    patches = []
    for index in order:
        values, grid = load(references[index])
        if grid != grids[index]:
            raise UserError(
                f"image {images.brief(references[index])}: its grid is {grid}, but it was packed "
                f"as {grids[index]}; pack again"
            )
        patches.append(values)
    batch.patches = torch.from_numpy(np.concatenate(patches))
    batch.grids = [grids[index] for index in order]
    batch.image_rows = torch.from_numpy(np.concatenate([places[index] for index in order]))
