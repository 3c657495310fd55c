"""Packed streams: many rendered records in one line, ready to train on.

A line holds `input_ids`; `lengths`, of its records in order; `loss_weights`, [start, end, weight] of
the tokens to learn; `images` and their `grids`, in the order of their tokens; `records`, the ids.
"""

import tempfile
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from qvl.errors import UserError
from qvl.io import jsonl

FIELDS = {"input_ids", "lengths", "loss_weights", "images", "grids", "records"}


@dataclass
class Sample:
    """One rendered record. `spans` are [start, end, weight] of learnt tokens."""

    id: str
    ids: Sequence[int]
    spans: list[tuple[int, int, float]]
    images: list[str] = field(default_factory=list)
    grids: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def num_learnt(self) -> int:
        return sum(end - start for start, end, _ in self.spans)


def join(name: str, samples: Sequence[Sample]) -> dict[str, Any]:
    """The packed line of some samples."""
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
    }


class PackedFile:
    """Random access to the lines of packed files, whatever their size.

    The streams are read once, into a scratch file without a name in folder `scratch`; memory holds
    an offset, a weight and two counts a line.
    """

    def __init__(self, paths: Sequence[str], scratch: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - lives as long as this
        self._offsets = array("q", [0])
        self.loss_weight = array("d")  # the sum of a line's loss weights
        self.num_tokens = array("q")
        self.num_learnt = array("q")
        self.largest_id = 0
        reader = jsonl.read(list(paths))
        for record in reader:
            where = f"{reader.sources[-1]['name']}:{reader.number}"
            if not record.keys() >= FIELDS:
                raise UserError(f"{where}: not a packed line; make one with qvl pack")
            self._append(record)
        if not self.num_tokens:
            raise UserError(f"{paths[0]}: holds no packs; see the rejects of qvl pack")

    def _append(self, record: dict[str, Any]) -> None:
        spans = record["loss_weights"]
        self.loss_weight.append(sum((end - start) * weight for start, end, weight in spans))
        self.num_tokens.append(len(record["input_ids"]))
        self.num_learnt.append(sum(end - start for start, end, _ in spans))
        self.largest_id = max(self.largest_id, *record["input_ids"])
        self._offsets.append(self._offsets[-1] + self._file.write(orjson.dumps(record)))

    def __len__(self) -> int:
        return len(self.num_tokens)

    def __getitem__(self, index: int) -> dict[str, Any]:
        start, end = self._offsets[index], self._offsets[index + 1]
        self._file.seek(start)
        return orjson.loads(self._file.read(end - start))

    def close(self) -> None:
        self._file.close()
