"""Write a Hugging Face folder like another one, with new tensors, by one process or several.

A safetensors file is a header of names, types and places, then the tensors one after another. Names, types
and shapes are known before any tensor is, so every process writes its own tensors into their places of
the same files, which are those of the other folder, and holds one tensor at a time.
"""

import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qvl.model.folder import CONFIG, DTYPES, INDEX, SINGLE, Folder

PARTIAL = ".partial"
PIECE = 1 << 20  # bytes written, then read back while they are in the processor's cache
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies."""

    file: str
    start: int
    """Its first byte in the file."""
    dtype: torch.dtype
    dims: list[int]


def staging_folder(target: Path) -> Path:
    """Where to write before `target` is complete: on the same disk. One process decides for all."""
    return target / PARTIAL if target.exists() else target.with_name(target.name + PARTIAL)


class FolderWriter:
    """Writes the folder `target` like the folder `like`, in `staging` until it is complete.

    One process calls `begin` before any process writes, and `finish` once every tensor is written: until
    then there is no folder, or none with a config.json. OSError where the disk is full or not writable.
    """

    def __init__(self, like: Folder, target: Path, staging: Path) -> None:
        self.like, self.target, self.staging = like, target, staging
        self._headers: dict[str, bytes] = {}
        self._sizes: dict[str, int] = {}
        self._places: dict[str, _Place] = {}
        for file, names in like.by_file().items():
            self._lay_out(file, names)

    def dims(self, name: str) -> list[int]:
        return self._places[name].dims

    def begin(self) -> None:
        """Make the files, without their tensors. What an interrupted run has left goes."""
        self.discard()
        self.staging.mkdir(parents=True)
        for file, header in self._headers.items():
            path = self.staging / file
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as handle:
                handle.write(header)
                handle.truncate(self._sizes[file])

    def write(self, name: str, tensor: Tensor, at: int | None = None) -> None:
        """Write a tensor, or its slice `at`, as the type that `like` has, and compare what is read
        back. ValueError where its shape is not that of `like`."""
        place = self._places[name]
        dims = place.dims if at is None else place.dims[1:]
        if list(tensor.shape) != dims:
            raise ValueError(f"{name}: expected the shape {dims}, got {list(tensor.shape)}")
        values = tensor.detach().to("cpu", place.dtype).contiguous()
        content = values.reshape(-1).view(torch.uint8).numpy()
        start = place.start + (at or 0) * len(content)
        path = self.staging / place.file
        read = np.empty(min(PIECE, len(content)), np.uint8)
        with path.open("r+b", buffering=0) as file:
            for first in range(0, len(content), PIECE):
                piece = content[first : first + PIECE]
                _write_all(file.fileno(), piece.data, start + first)
                count = os.preadv(file.fileno(), [read[: len(piece)].data], start + first)
                if not np.array_equal(read[:count], piece):
                    raise OSError(f"{path}: {name} does not read back as it was written")

    def finish(self) -> None:
        """Copy what is not weights, and put the folder in its place."""
        self.like.copy_rest(self.staging)
        if self.staging.parent != self.target:
            self.staging.rename(self.target)
            return
        old = self.target / CONFIG
        if old.exists() and not old.samefile(self.like.path / CONFIG):
            old.unlink()  # the model that was here is no longer whole
        files = [path for path in self.staging.rglob("*") if path.is_file()]
        names = {path.relative_to(self.staging) for path in files}
        for stale in {Path(INDEX), Path(SINGLE)} - names:  # would be read instead
            (self.target / stale).unlink(missing_ok=True)
        for name in sorted(names, key=lambda name: (name == Path(CONFIG), name)):
            (self.target / name).parent.mkdir(parents=True, exist_ok=True)
            (self.staging / name).replace(self.target / name)
        self.discard()

    def discard(self) -> None:
        """Remove what is not complete."""
        shutil.rmtree(self.staging, ignore_errors=True)

    def _lay_out(self, file: str, names: list[str]) -> None:
        """The header of a file and the places in it, in the order that safetensors writes."""
        described = {name: (self.like.dtype(name), self.like.dims(name)) for name in names}
        names = sorted(names, key=lambda name: (-described[name][0].itemsize, name))
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        end, starts = 0, {}
        for name in names:
            dtype, dims = described[name]
            starts[name], end = end, end + dtype.itemsize * math.prod(dims)
            header[name] = {
                "dtype": DTYPE_NAMES[dtype],
                "shape": dims,
                "data_offsets": [starts[name], end],
            }
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._headers[file] = len(text).to_bytes(8, "little") + text
        self._sizes[file] = len(self._headers[file]) + end
        for name, (dtype, dims) in described.items():
            start = len(self._headers[file]) + starts[name]
            self._places[name] = _Place(file, start, dtype, dims)


def write_like(folder: Folder, target: Path, new: Callable[[str], Tensor]) -> None:
    """Write a folder like `folder` to `target`, with the tensors that `new(name)` returns, by this
    process alone: complete, or not at all."""
    writer = FolderWriter(folder, target, staging_folder(target))
    try:
        writer.begin()
        for names in folder.by_file().values():
            for name in names:
                writer.write(name, new(name))
        writer.finish()
    except BaseException:
        writer.discard()
        raise


def _write_all(file: int, content: memoryview, start: int) -> None:
    while content:
        count = os.pwrite(file, content, start)
        content, start = content[count:], start + count
