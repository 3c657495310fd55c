"""Read a Hugging Face folder, one tensor at a time."""

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from qvl.errors import UserError
from qvl.io import atomic

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
CONFIG = "config.json"
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

    def write_skeleton(self, target: Path) -> None:
        """Write all files except the weights, and a description of these."""
        target.mkdir(parents=True, exist_ok=True)
        described = {
            name: {"file": file, "dtype": str(self.dtype(name)), "shape": self.dims(name)}
            for name, file in self._files.items()
        }
        atomic.write(target / SKELETON, json.dumps(described, indent=1).encode())
        self.copy_rest(target)

    def _open(self, name: str) -> Any:
        if name not in self._files:
            raise UserError(f"{self.path}: the tensor {name} is missing")
        try:
            return safe_open(self.path / self._files[name], "pt")
        except (OSError, SafetensorError) as error:
            raise UserError(f"{self.path / self._files[name]}: {error}") from None

    def by_file(self) -> dict[str, list[str]]:
        """The names of the tensors in each file, by file name."""
        shards = defaultdict(list)
        for name, file in self._files.items():
            shards[file].append(name)
        return shards

    def copy_rest(self, target: Path) -> None:
        """Copy configuration, tokenizer and the index of the weights, config.json last."""
        for path in self._rest():
            _copy(path, target / path.name)

    def _rest(self) -> list[Path]:
        found = {path.name: path for pattern in COPIED for path in self.path.glob(pattern)}
        found.pop(SKELETON, None)
        return [found[name] for name in sorted(found, key=lambda name: (name == CONFIG, name))]

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
