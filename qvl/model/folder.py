"""A Hugging Face folder: its tensors one at a time, and another folder like it with new ones."""

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
TRAVELS = ("*.json", "*.jinja", "*.txt", "*.model", "LICENSE*")
SKELETON = "tensors.json"
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Folder:
    """Reads the tensors of a Hugging Face folder; nothing is loaded before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = self._find()

    def __contains__(self, name: str) -> bool:
        return name in self._files

    @property
    def names(self) -> list[str]:
        return list(self._files)

    def get(self, name: str, at: int | None = None) -> Tensor:
        """One tensor, or its slice `at`, as it is stored. UserError where the folder lacks it."""
        with self._open(name) as file:
            return file.get_tensor(name) if at is None else file.get_slice(name)[at]

    def dims(self, name: str) -> list[int]:
        with self._open(name) as file:
            return list(file.get_slice(name).get_shape())

    def dtype(self, name: str) -> torch.dtype:
        with self._open(name) as file:
            return DTYPES[file.get_slice(name).get_dtype()]

    def write_like(self, target: Path, new: Callable[[str], Tensor], *, keep: bool = True) -> None:
        """A folder of the same files at `target`, its tensors those of `new(name)`.

        Types, shard files and their order stay; a file's tensors are in memory at a time, and each
        file is read back and compared. config.json comes last, so a folder that lacks it is not
        whole. `keep`: whether this process writes; one that does not only asks for the tensors.
        """
        if keep:
            target.mkdir(parents=True, exist_ok=True)
        for file, names in self._shards().items():
            tensors = {}
            for name in names:
                tensor = new(name)
                if list(tensor.shape) != self.dims(name):
                    raise ValueError(f"{name}: {list(tensor.shape)} is not {self.dims(name)}")
                if keep:
                    tensors[name] = tensor.detach().to("cpu", self.dtype(name)).contiguous()
            if keep:
                _write(target / file, tensors)
        if keep:
            self._travel(target)

    def write_skeleton(self, target: Path) -> None:
        """All but the weights, and what a folder of other weights must be like."""
        target.mkdir(parents=True, exist_ok=True)
        told = {
            name: {"file": file, "dtype": str(self.dtype(name)), "shape": self.dims(name)}
            for name, file in self._files.items()
        }
        atomic.write(target / SKELETON, json.dumps(told, indent=1).encode())
        self._travel(target)

    def _open(self, name: str) -> Any:
        if name not in self._files:
            raise UserError(f"{self.path}: lacks the tensor {name}")
        try:
            return safe_open(self.path / self._files[name], "pt")
        except (OSError, SafetensorError) as error:
            raise UserError(f"{self.path / self._files[name]}: {error}") from None

    def _shards(self) -> dict[str, list[str]]:
        """File name -> the tensors in it."""
        shards = defaultdict(list)
        for name, file in self._files.items():
            shards[file].append(name)
        return shards

    def _travel(self, target: Path) -> None:
        for path in self._travellers():
            _copy(path, target / path.name)

    def _travellers(self) -> list[Path]:
        found = {path.name: path for pattern in TRAVELS for path in self.path.glob(pattern)}
        found.pop(SKELETON, None)
        return [
            found[name] for name in sorted(found, key=lambda name: (name == "config.json", name))
        ]

    def _find(self) -> dict[str, str]:
        """Tensor name -> file name."""
        try:
            if (self.path / INDEX).is_file():
                return json.loads((self.path / INDEX).read_bytes())["weight_map"]
            with safe_open(self.path / SINGLE, "pt") as file:
                return dict.fromkeys(file.keys(), SINGLE)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{self.path}: no weights ({SINGLE}): {error}") from None


class Skeleton(Folder):
    """A Hugging Face folder without its weights, as `write_skeleton` leaves one."""

    def get(self, name: str, at: int | None = None) -> Tensor:
        raise UserError(f"{self.path}: has no weights, only their names; {name} was asked for")

    def dims(self, name: str) -> list[int]:
        return self._told[name]["shape"]

    def dtype(self, name: str) -> torch.dtype:
        return getattr(torch, self._told[name]["dtype"].removeprefix("torch."))

    def _find(self) -> dict[str, str]:
        try:
            self._told = json.loads((self.path / SKELETON).read_bytes())
        except OSError as error:
            raise UserError(f"{self.path}: no {SKELETON}: {error.strerror}") from None
        return {name: each["file"] for name, each in self._told.items()}


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    """A safetensors file, whole or not at all, and the same bits when it is read."""
    partial = path.with_name(f"{path.name}.partial")
    save_file(tensors, partial, metadata={"format": "pt"})
    with safe_open(partial, "pt") as file:
        for name, tensor in tensors.items():
            if not same_bits(file.get_tensor(name), tensor):
                raise OSError(f"{partial}: {name} does not read as it was written")
    partial.replace(path)


def same_bits(one: Tensor, other: Tensor) -> bool:
    """As bytes: not-a-number is not equal to itself."""
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and torch.equal(one.view(torch.uint8), other.view(torch.uint8))
    )


def _copy(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    partial = target.with_name(f"{target.name}.partial")
    shutil.copyfile(source, partial)
    partial.replace(target)
