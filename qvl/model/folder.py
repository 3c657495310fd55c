"""A Hugging Face folder: its tensors one at a time, and another folder like it with new ones."""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from qvl.errors import UserError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
TRAVELS = ("*.json", "*.jinja", "*.txt", "*.model", "LICENSE*")


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

    def get(self, name: str) -> Tensor:
        """One tensor, as it is stored. UserError where the folder lacks it."""
        if name not in self._files:
            raise UserError(f"{self.path}: lacks the tensor {name}")
        with safe_open(self.path / self._files[name], "pt") as file:
            return file.get_tensor(name)

    def dims(self, name: str) -> list[int]:
        with safe_open(self.path / self._files[name], "pt") as file:
            return list(file.get_slice(name).get_shape())

    def write_like(self, target: Path, new: Callable[[str], Tensor]) -> None:
        """A folder of the same files at `target`, its tensors those of `new(name)`.

        Types, shard files and their order stay; a shard at a time is in memory. config.json comes
        last, so a folder that lacks it is not whole.
        """
        target.mkdir(parents=True, exist_ok=True)
        shards = defaultdict(list)
        for name, file in self._files.items():
            shards[file].append(name)
        for file, names in shards.items():
            tensors = {}
            for name in names:
                old = self.get(name)
                tensor = new(name)
                if tensor.shape != old.shape:
                    raise ValueError(f"{name}: {tuple(tensor.shape)} is not {tuple(old.shape)}")
                tensors[name] = tensor.detach().to("cpu", old.dtype).contiguous()
            partial = target / f"{file}.partial"
            save_file(tensors, partial, metadata={"format": "pt"})
            partial.replace(target / file)
        for path in self._travellers():
            _copy(path, target / path.name)

    def _travellers(self) -> list[Path]:
        found = {path.name: path for pattern in TRAVELS for path in self.path.glob(pattern)}
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


def _copy(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    partial = target.with_name(f"{target.name}.partial")
    shutil.copyfile(source, partial)
    partial.replace(target)
