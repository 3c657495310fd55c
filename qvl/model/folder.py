"""Read a Hugging Face folder one tensor at a time, and write one like it with new tensors."""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from qvl.errors import UserError
from qvl.io import atomic

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
COPIED = ("*.json", "*.jinja", "*.txt", "*.model", "LICENSE*")
SKELETON = "tensors.json"
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Folder:
    """The tensors of a Hugging Face folder, each read on request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = self._find()

    def __contains__(self, name: str) -> bool:
        return name in self._files

    @property
    def names(self) -> list[str]:
        return list(self._files)

    def get(self, name: str, at: int | None = None) -> Tensor:
        """One tensor, or its slice `at`, as it is stored. UserError if it is missing."""
        with self._open(name) as file:
            return file.get_tensor(name) if at is None else file.get_slice(name)[at]

    def dims(self, name: str) -> list[int]:
        with self._open(name) as file:
            return list(file.get_slice(name).get_shape())

    def dtype(self, name: str) -> torch.dtype:
        with self._open(name) as file:
            return DTYPES[file.get_slice(name).get_dtype()]

    def write_like(self, target: Path, new: Callable[[str], Tensor], *, keep: bool = True) -> None:
        """Write a folder like this one to `target`, with the tensors that `new(name)` returns.

        Data types, files and the order of tensors are the same. Memory holds the tensors of one file;
        each file is read back and compared. config.json is written last, so a folder without it is
        incomplete. keep: whether this process writes; otherwise it only calls `new`.
        """
        if keep:
            target.mkdir(parents=True, exist_ok=True)
        for file, names in self._shards().items():
            tensors = {}
            for name in names:
                tensor = new(name)
                if list(tensor.shape) != self.dims(name):
                    raise ValueError(
                        f"{name}: expected the shape {self.dims(name)}, got {list(tensor.shape)}"
                    )
                if keep:
                    tensors[name] = tensor.detach().to("cpu", self.dtype(name)).contiguous()
            if keep:
                _write(target / file, tensors)
        if keep:
            self._copy_rest(target)

    def write_skeleton(self, target: Path) -> None:
        """Write all files except the weights, and a description of these."""
        target.mkdir(parents=True, exist_ok=True)
        described = {
            name: {"file": file, "dtype": str(self.dtype(name)), "shape": self.dims(name)}
            for name, file in self._files.items()
        }
        atomic.write(target / SKELETON, json.dumps(described, indent=1).encode())
        self._copy_rest(target)

    def _open(self, name: str) -> Any:
        if name not in self._files:
            raise UserError(f"{self.path}: the tensor {name} is missing")
        try:
            return safe_open(self.path / self._files[name], "pt")
        except (OSError, SafetensorError) as error:
            raise UserError(f"{self.path / self._files[name]}: {error}") from None

    def _shards(self) -> dict[str, list[str]]:
        """The names of the tensors in each file, by file name."""
        shards = defaultdict(list)
        for name, file in self._files.items():
            shards[file].append(name)
        return shards

    def _copy_rest(self, target: Path) -> None:
        for path in self._rest():
            _copy(path, target / path.name)

    def _rest(self) -> list[Path]:
        found = {path.name: path for pattern in COPIED for path in self.path.glob(pattern)}
        found.pop(SKELETON, None)
        return [
            found[name] for name in sorted(found, key=lambda name: (name == "config.json", name))
        ]

    def _find(self) -> dict[str, str]:
        """The file name of each tensor, by its name."""
        try:
            if (self.path / INDEX).is_file():
                return json.loads((self.path / INDEX).read_bytes())["weight_map"]
            with safe_open(self.path / SINGLE, "pt") as file:
                return dict.fromkeys(file.keys(), SINGLE)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{self.path}: no weights ({SINGLE}): {error}") from None


class Skeleton(Folder):
    """A Hugging Face folder without its weights, as written by `write_skeleton`."""

    def get(self, name: str, at: int | None = None) -> Tensor:
        raise UserError(
            f"{self.path}: cannot read {name}: the folder describes its weights but does not hold them"
        )

    def dims(self, name: str) -> list[int]:
        return self._described[name]["shape"]

    def dtype(self, name: str) -> torch.dtype:
        return getattr(torch, self._described[name]["dtype"].removeprefix("torch."))

    def _find(self) -> dict[str, str]:
        try:
            self._described = json.loads((self.path / SKELETON).read_bytes())
        except OSError as error:
            raise UserError(f"{self.path}: no {SKELETON}: {error.strerror}") from None
        return {name: each["file"] for name, each in self._described.items()}


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file, complete or not at all, and compare what it reads back."""
    with atomic.replacing(path) as partial:
        save_file(tensors, partial, metadata={"format": "pt"})
        with safe_open(partial, "pt") as file:
            for name, tensor in tensors.items():
                if not same_bits(file.get_tensor(name), tensor):
                    raise OSError(f"{path}: {name} does not read back as it was written")


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal byte for byte, so that NaN is equal to itself."""
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and torch.equal(one.view(torch.uint8), other.view(torch.uint8))
    )


def _copy(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    with atomic.replacing(target) as partial:
        shutil.copyfile(source, partial)
