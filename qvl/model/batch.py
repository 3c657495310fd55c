"""A packed line, or samples from memory, become the tensors of one micro-batch.

Shapes: T tokens of the pack, N records, P patches, M image tokens, R target tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qvl.media.errors import LostMedia, MediaError
from qvl.media.patches import Grid
from qvl.media.references import brief
from qvl.model import rope
from qvl.model.dealing import ALL, Share, deal
from qvl.model.shape import Shape
from qvl.pack.packed import Sample, join

Load = Callable[[str], tuple[np.ndarray, Grid]]  # a reference -> its patches and grid


@dataclass
class Batch:
    """One pack. Images come sorted by grid, so that equal ones attend in one call.

    Where several ranks share the pack, each has patches of its own images alone (qvl.model.dealing).
    """

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
    """(P, values of a patch) of this rank's images: uint8 pixels, or float32 and normalised; None without
    any."""
    grids: Sequence[Grid] = ()
    """Of this rank's images."""
    image_rows: Tensor | None = None
    """(M,) where the tower's tokens go: those of the first rank's images, then of the next one's. None
    where the pack has no images, or this stage sees none."""
    image_tokens: Sequence[int] = ()
    """Of each rank's images; M in all. Empty where each rank computes all images."""
    records: Sequence[str] = ()
    """(N,) their ids."""

    def to(self, device: torch.device) -> "Batch":
        """The same on a device. To a GPU through pinned memory: a copy from there does not wait for what the
        GPU computes meanwhile."""

        def moved(value: Tensor) -> Tensor:
            pinned = value.pin_memory() if device.type == "cuda" and not value.is_cuda else value
            return pinned.to(device, non_blocking=True)

        fields = {
            name: moved(value) for name, value in vars(self).items() if torch.is_tensor(value)
        }
        columns = {name: moved(value) for name, value in self.columns.items()}
        return replace(self, **fields, columns=columns)

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


def make_batch(
    line: dict[str, Any],
    shape: Shape,
    load: Load | None,
    share: Share = ALL,
    ready: np.ndarray | None = None,
) -> Batch:
    """The tensors of a packed line; without `load`, for a stage that sees no images.

    share: this rank among those that share the pack, by which its images are dealt. ready: the patches
    of this rank's images in their order, where they have been loaded. MediaError, which names the record,
    where an image is not there as it was packed.
    """
    ids = np.asarray(line["input_ids"], dtype=np.int64)
    grids: list[Any] = [tuple(grid) for grid in line["grids"]]
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
        hands = deal(grids, shape.vision, share.ranks)
        places = _places(seen, grids, merge)
        order = [index for hand in hands for index in hand]
        batch.image_rows = torch.from_numpy(np.concatenate([places[index] for index in order]))
        if share.ranks > 1:
            batch.image_tokens = [sum(len(places[index]) for index in hand) for hand in hands]
        own = hands[share.rank]
        batch.grids = [grids[index] for index in own]
        if own and ready is None:
            with naming_records(line, shape):
                ready = np.concatenate([loaded(line["images"][i], grids[i], load) for i in own])
        batch.patches = None if ready is None else torch.from_numpy(ready)
    return batch


def loaded(reference: str, grid: Grid, load: Load) -> np.ndarray:
    """The patches of an image. LostMedia where its grid is no longer the one that was packed."""
    values, found = load(reference)
    if found != grid:
        raise LostMedia(
            reference,
            f"image {brief(reference)}: its grid is {found}, but it was packed as {grid}; pack again",
        )
    return values


@contextmanager
def naming_records(line: dict[str, Any], shape: Shape) -> Iterator[None]:
    """Make LostMedia of a packed line a MediaError that names the records which have the image."""
    try:
        yield
    except LostMedia as error:
        names = _records_with(error.reference, line, shape)
        records = f"record{'s' if len(names) > 1 else ''} {', '.join(map(repr, names))}"
        raise MediaError(f"{records}: {error}") from None


def _records_with(reference: str, line: dict[str, Any], shape: Shape) -> list[str]:
    seen = np.isin(line["input_ids"], (shape.image_id, shape.video_id))
    places = _places(seen, line["grids"], shape.vision.merge)
    firsts = [
        place[0] for name, place in zip(line["images"], places, strict=True) if name == reference
    ]
    owners = np.searchsorted(list(accumulate(line["lengths"])), firsts, side="right")
    return [line["records"][owner] for owner in dict.fromkeys(owners.tolist())]


def _places(seen: np.ndarray, grids: Sequence[Sequence[int]], merge: int) -> list[np.ndarray]:
    """The positions of the tokens of each image; `seen`: which positions are of images or videos."""
    counts = [frames * rows * columns // merge**2 for frames, rows, columns in grids]
    return np.split(np.flatnonzero(seen), np.cumsum(counts)[:-1])


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
