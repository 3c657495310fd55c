"""A packed line, or samples from memory, become the tensors of one micro-batch.

Shapes: T tokens of the pack, N records, P patches, M image tokens, R target tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qvl.errors import UserError
from qvl.media.patches import Grid
from qvl.media.references import brief
from qvl.model import rope
from qvl.model.shape import Shape
from qvl.pack.packed import Sample, join

Load = Callable[[str], tuple[np.ndarray, Grid]]  # a reference -> its patches and grid


@dataclass
class Batch:
    """One pack. Images come sorted by grid, so that equal ones attend in one call."""

    ids: Tensor
    """(T,)"""
    lengths: list[int]
    """Of the N records."""
    positions: Tensor
    """(3, T)"""
    rows: Tensor
    """(R,) the positions whose next token is a target."""
    labels: Tensor
    """(R,) the target tokens."""
    sequences: Tensor
    """(R,) the record of each, from 0."""
    num_targets: Tensor
    """(N,) target tokens of each record."""
    columns: dict[str, Tensor] = field(default_factory=dict)
    """(R, ...) by name: `weight`, that of the loss, and what the samples bring."""
    patches: Tensor | None = None
    """(P, values of a patch)"""
    grids: Sequence[Grid] = ()
    image_rows: Tensor | None = None
    """(M,) where the tower's tokens go, in its order."""
    records: Sequence[str] = ()
    """(N,) their ids."""

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        fields = {name: value for name, value in vars(self).items() if torch.is_tensor(value)}
        moved: dict[str, Any] = {name: value.to(device) for name, value in fields.items()}
        moved["columns"] = {name: value.to(device) for name, value in self.columns.items()}
        return replace(self, **moved)

    def with_targets(self, chosen: Tensor) -> "Batch":
        """The batch with only some of its target tokens, (R',) of them by index. `num_targets`
        remain those of the whole."""
        return replace(
            self,
            rows=self.rows[chosen],
            labels=self.labels[chosen],
            sequences=self.sequences[chosen],
            columns={name: values[chosen] for name, values in self.columns.items()},
        )


def make_batch(line: dict[str, Any], shape: Shape, load: Load | None) -> Batch:
    """The tensors of a packed line; without `load`, for a stage that sees no images.

    UserError where an image has changed since it was packed.
    """
    ids = np.asarray(line["input_ids"], dtype=np.int64)
    grids = [tuple(grid) for grid in line["grids"]]
    seen = np.isin(ids, (shape.image_id, shape.video_id))
    merge = shape.vision.merge
    rows, weights = _targets(line["loss_weights"])
    sequences = np.searchsorted(list(accumulate(line["lengths"])), rows, side="right")
    columns = {name: _column(values) for name, values in line.get("columns", {}).items()}
    batch = Batch(
        ids=torch.from_numpy(ids),
        lengths=line["lengths"],
        positions=torch.from_numpy(rope.positions(seen, line["lengths"], grids, merge)),
        rows=torch.from_numpy(rows),
        labels=torch.from_numpy(ids[rows + 1]),
        sequences=torch.from_numpy(sequences),
        num_targets=torch.from_numpy(np.bincount(sequences, minlength=len(line["lengths"]))),
        columns={"weight": torch.from_numpy(weights), **columns},
        records=line["records"],
    )
    if grids and load:
        _add_images(batch, seen, line["images"], grids, merge, load)
    return batch


def batch_of(samples: Sequence[Sample], shape: Shape, load: Load | None) -> Batch:
    """The tensors of samples from memory, as one pack; their columns come with them.

    UserError where their columns differ in name or length.
    """
    return make_batch(join("memory", samples), shape, load)


def _targets(spans: Sequence[Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Spans [start, end, weight] of target tokens -> the rows before them, and the weights."""
    rows = [np.arange(start - 1, end - 1) for start, end, _ in spans]
    weights = [np.full(int(end - start), weight, np.float32) for start, end, weight in spans]
    if not spans:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    return np.concatenate(rows), np.concatenate(weights)


def _column(values: Sequence[Any]) -> Tensor:
    """(R, ...) in fp32, or in int64 where all are whole numbers, such as ids."""
    found = np.asarray(values)
    kind = np.int64 if np.issubdtype(found.dtype, np.integer) else np.float32
    return torch.from_numpy(found.astype(kind))


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
                f"image {brief(references[index])}: its grid is {grid}, but it was packed "
                f"as {grids[index]}; pack again"
            )
        patches.append(values)
    batch.patches = torch.from_numpy(np.concatenate(patches))
    batch.grids = [grids[index] for index in order]
    batch.image_rows = torch.from_numpy(np.concatenate([places[index] for index in order]))
