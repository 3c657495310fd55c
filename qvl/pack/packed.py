"""Packed streams: many rendered records in one line, ready to train on.

A line holds `input_ids`; `lengths`, of its records in order; `loss_weights`, [start, end, weight] of
spans of target tokens; `images` and their `grids`, in the order of their tokens; `records`, the ids;
and where a loss needs more, `columns`: by name, a value per target token (an advantage, an old
log-probability), or a list of values (a teacher's top-k).
"""

import base64
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from qvl.errors import UserError

FIELDS = {"input_ids", "lengths", "loss_weights", "images", "grids", "records"}


@dataclass
class Sample:
    """One rendered record."""

    id: str
    ids: Sequence[int]
    spans: list[tuple[int, int, float]]
    """[start, end, weight] of target tokens."""
    images: list[str] = field(default_factory=list)
    grids: list[tuple[int, int, int]] = field(default_factory=list)
    columns: dict[str, Any] = field(default_factory=dict)
    """By name, as many values as there are target tokens, or rows of values: lists or arrays."""

    @property
    def num_targets(self) -> int:
        return sum(end - start for start, end, _ in self.spans)

    @property
    def targets(self) -> list[int]:
        """The places of the target tokens."""
        return [place for start, end, _ in self.spans for place in range(start, end)]


def to_row(sample: Sample) -> dict[str, Any]:
    """A sample as JSON, its ids as the base64 of 32-bit integers: short to send and to keep."""
    ids = base64.b64encode(array("i", sample.ids).tobytes()).decode()
    row = {**vars(sample), "ids": ids}
    if not sample.columns:
        del row["columns"]
    return row


def from_row(row: dict[str, Any]) -> Sample:
    # Four bytes per token, because many samples wait in open packs.
    return Sample(**{**row, "ids": array("i", base64.b64decode(row["ids"]))})


def join(name: str, samples: Sequence[Sample]) -> dict[str, Any]:
    """The packed line of some samples. UserError where their columns differ in name or length."""
    ids: list[int] = []
    spans = []
    for sample in samples:
        offset = len(ids)
        ids.extend(sample.ids)
        spans += [[offset + start, offset + end, weight] for start, end, weight in sample.spans]
    return {
        "id": name,
        "input_ids": ids,
        "lengths": [len(sample.ids) for sample in samples],
        "loss_weights": spans,
        "images": [image for sample in samples for image in sample.images],
        "grids": [grid for sample in samples for grid in sample.grids],
        "records": [sample.id for sample in samples],
        **_columns(samples),
    }


def _columns(samples: Sequence[Sample]) -> dict[str, Any]:
    """{"columns": those of all samples, joined}; {} where they have none."""
    names = samples[0].columns.keys() if samples else ()
    for sample in samples:
        if sample.columns.keys() != set(names):
            raise UserError(
                f"{sample.id}: columns {sorted(sample.columns)}, where {samples[0].id} of the same "
                f"pack has {sorted(names)}"
            )
        for name, values in sample.columns.items():
            if len(values) != sample.num_targets:
                raise UserError(
                    f"{sample.id}: column {name} has {len(values)} values for "
                    f"{sample.num_targets} target tokens"
                )
    joined = {name: [x for sample in samples for x in sample.columns[name]] for name in names}
    return {"columns": joined} if joined else {}


class Size(NamedTuple):
    """What determines the cost of training on a pack."""

    tokens: int
    squares: int
    """Sum of the squared lengths of the records: attention is within a record."""
    targets: int
    """Tokens."""
    patches: int
    patch_squares: int
    """Sum of the squared numbers of patches of the frames: the tower attends within a frame."""


def size(line: dict[str, Any]) -> Size:
    """The size of a packed line."""
    return Size(
        tokens=len(line["input_ids"]),
        squares=sum(length**2 for length in line["lengths"]),
        targets=sum(end - start for start, end, _ in line["loss_weights"]),
        patches=sum(frames * rows * columns for frames, rows, columns in line["grids"]),
        patch_squares=sum(
            frames * (rows * columns) ** 2 for frames, rows, columns in line["grids"]
        ),
    )
