"""Random access to packed files: each is read once, and its index is mapped by every rank.

A packed file is a compressed stream, so one process writes its lines as they are beside a table of where
each begins, what it weighs and what it costs. The others map these files: the ranks of a machine share one
copy in memory, and all of them one copy on disk, whatever their number.
"""

import json
import mmap
import shutil
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.pack.packed import FIELDS, Size, size

FOLDER = "packs"  # of the indices, in the folder of a run
WIDTH = len(Size._fields)
Once = Callable[[Callable[[], Any]], Any]


def alone(work: Callable[[], Any]) -> Any:
    """For a process without others."""
    return work()


class PackedFile:
    """The lines of packed files, whatever their size; those of later files have higher numbers."""

    def __init__(self, paths: Sequence[str], folder: Path, once: Once = alone) -> None:
        """folder: where the indices lie, which all ranks see. once: runs a function on one rank and
        returns its result on all. UserError where a file is none of qvl pack."""
        self._folder, self._once = folder / FOLDER, once
        self._parts: list[_Index] = []
        self._starts: list[int] = []
        self._count = self.largest_id = 0
        self.add(paths)

    def add(self, paths: Sequence[str]) -> int:
        """Read further files; return how many lines they have."""
        place = self._once(lambda: _indexed(list(paths), self._folder))
        if not place.is_dir():
            raise UserError(
                f"{place}: not every machine sees this folder; choose an --output that they share"
            )
        part = _Index(place)
        self._parts.append(part)
        self._starts.append(self._count)
        self._count += part.count
        self.largest_id = max(self.largest_id, part.largest_id)
        return part.count

    def size(self, index: int) -> Size:
        part, line = self._find(index)
        return Size(*part.sizes[line * WIDTH : (line + 1) * WIDTH])

    def weight(self, index: int) -> float:
        """The sum of a line's loss weights."""
        part, line = self._find(index)
        return part.weights[line]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, Any]:
        part, line = self._find(index)
        return orjson.loads(part.lines[part.offsets[line] : part.offsets[line + 1]])

    def remove(self) -> None:
        """Delete the indices: a run that is done needs them no more."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _find(self, index: int) -> "tuple[_Index, int]":
        which = bisect_right(self._starts, index) - 1
        return self._parts[which], index - self._starts[which]


class _Index:
    """The index of one group of files."""

    def __init__(self, place: Path) -> None:
        facts = json.loads((place / "facts.json").read_bytes())
        self.count, self.largest_id = facts["count"], facts["largest_id"]
        self.lines = _mapped(place / "lines")
        self.offsets = memoryview(_mapped(place / "offsets")).cast("q")
        self.sizes = memoryview(_mapped(place / "sizes")).cast("q")
        self.weights = memoryview(_mapped(place / "weights")).cast("d")


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _indexed(paths: list[str], folder: Path) -> Path:
    """The index of files, made unless an earlier run has made it of the same ones."""
    facts = [[str(Path(path).resolve()), *_stamp(path)] for path in paths]
    place = folder / blake2b(orjson.dumps(facts), digest_size=8).hexdigest()
    if place.is_dir():
        return place
    partial = place.with_name(f"{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        _write(paths, partial)
        partial.replace(place)
    except OSError as error:
        raise UserError(
            f"{place}: {error.strerror}; it needs room for the lines of {paths[0]}"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return place


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    return found.st_size, found.st_mtime_ns


def _write(paths: list[str], place: Path) -> None:
    offsets, sizes, weights = array("q", [0]), array("q"), array("d")
    largest = 0
    reader = jsonl.read(paths)
    with (place / "lines").open("wb") as lines:
        for record in reader:
            where = f"{reader.sources[-1]['name']}:{reader.number}"
            if not record.keys() >= FIELDS:
                raise UserError(f"{where}: not a packed line; pack with qvl pack, or say --context")
            spans = record["loss_weights"]
            weights.append(sum((end - start) * weight for start, end, weight in spans))
            sizes.extend(size(record))
            largest = max(largest, *record["input_ids"])
            offsets.append(offsets[-1] + lines.write(orjson.dumps(record)))
    if not weights:
        raise UserError(f"{paths[0]}: holds no packs; see the rejects of qvl pack")
    for name, values in (("offsets", offsets), ("sizes", sizes), ("weights", weights)):
        (place / name).write_bytes(values.tobytes())
    facts = {"count": len(weights), "largest_id": largest}
    (place / "facts.json").write_text(json.dumps(facts))
