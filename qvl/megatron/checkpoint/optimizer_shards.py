"""The optimizer's state in a checkpoint: every rank writes what it holds, and reads what it will hold.

Under the distributed optimizer (ZeRO-1, arXiv 1910.02054) a rank holds a range of each parameter: of its
flat values, or of those of its tensor-parallel part. A file per rank keeps these ranges by the global name
of the parameter, in the format of safetensors, so a checkpoint can be read at any layout: a rank looks up
the ranges that make up its own, and where the tensor-parallel parts are others it joins one parameter at a
time. No rank holds more than its own state, once on the device and once on the host while it is written:
12 bytes per parameter over the ranks that share its state in bf16 (two moments and the fp32 weight), 8 in
fp32. What several ranks hold alike is written by one of them.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from megatron.core import parallel_state
from safetensors import safe_open
from torch import Tensor

from qvl.errors import UserError
from qvl.megatron import parallel, weights
from qvl.megatron.qwen3vl import LocalModel
from qvl.model import weight_map
from qvl.model.folder_writer import DTYPE_NAMES

KINDS = ("param", "exp_avg", "exp_avg_sq")  # of Megatron; `param` is the fp32 weight of a bf16 one


class Range(NamedTuple):
    """A range of the flat values of a parameter's part."""

    name: str
    """Global, of the parameter."""
    part: int
    parts: int
    """Tensor-parallel; 1 where the parameter is not split."""
    start: int
    end: int


class Held(NamedTuple):
    """What an optimizer of this rank holds of a parameter."""

    optimizer: Any
    parameter: Any
    range: Range
    writes: bool
    """Whether this rank writes it; others hold the same."""

    def state(self) -> dict[str, Tensor]:
        """By kind. A weight in fp32 is its own master, and is not listed."""
        found = self.optimizer._get_main_param_and_optimizer_states(self.parameter)
        storage = self.parameter.untyped_storage().data_ptr()
        return {
            kind: found[kind]
            for kind in KINDS
            if kind in found and found[kind].untyped_storage().data_ptr() != storage
        }


def held(model: LocalModel, optimizer: Any) -> Iterator[Held]:
    """What this rank holds, parameter by parameter."""
    names = {parameter: name for name, parameter in weights.parameters(model)}
    size = parallel_state.get_tensor_model_parallel_world_size()
    rank = parallel_state.get_tensor_model_parallel_rank()
    for part in getattr(optimizer, "chained_optimizers", [optimizer]):
        for parameter in part.model_param_group_index_map:
            name = names[parameter]
            split = weight_map.is_split(name) and not weights.is_expert(name) and size > 1
            own = part._get_model_param_range_map(parameter)["param"]
            place = (rank, size) if split else (0, 1)
            # The last stage of a tied model has a copy of the embedding by the name of the head.
            is_copy = model.shape.tied and name == weight_map.HEAD
            writes = not is_copy and (split or weights.is_expert(name) or rank == 0)
            name = weight_map.EMBEDDING if is_copy else name
            yield Held(part, parameter, Range(name, *place, own.start, own.end), writes)


@dataclass
class Copies:
    """This rank's state on the host, to be written while training goes on."""

    tensors: dict[str, Tensor]
    steps: dict[str, float]

    @classmethod
    def of(cls, model: LocalModel, optimizer: Any) -> "Copies":
        tensors: dict[str, Tensor] = {}
        for each in held(model, optimizer):
            if each.writes:
                for kind, values in each.state().items():
                    key = json.dumps([kind, *each.range])
                    tensors[key] = values.detach().to("cpu", copy=True)
        return cls(tensors, {"step": _steps(optimizer)})

    def write(self, path: Path) -> None:
        """Write the file, and forget the tensors. OSError where the disk is full."""
        header: dict[str, Any] = {"__metadata__": {key: str(x) for key, x in self.steps.items()}}
        end = 0
        for key, values in self.tensors.items():
            start, end = end, end + values.nbytes
            header[key] = {
                "dtype": DTYPE_NAMES[values.dtype],
                "shape": list(values.shape),
                "data_offsets": [start, end],
            }
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with path.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            while self.tensors:
                values = self.tensors.pop(next(iter(self.tensors)))
                file.write(values.contiguous().reshape(-1).view(torch.uint8).numpy().data)
            file.flush()
            os.fsync(file.fileno())


@torch.no_grad()
def restore(model: LocalModel, optimizer: Any, folder: Path) -> None:
    """Fill the state of this rank's optimizer from the files in `folder`, of this layout or another.

    UserError where a parameter is missing.
    """
    stored = _Stored(folder)
    for each in held(model, optimizer):
        found = each.optimizer._get_main_param_and_optimizer_states(each.parameter)
        for kind in each.state():
            local = tuple(each.parameter.shape)
            found[kind] = stored.read(kind, each.range, local).to(found[kind].device)
        if "step" in found:  # torch's; others count in the group
            found["step"] = torch.full_like(found["step"], stored.step)
        each.optimizer._set_main_param_and_optimizer_states(each.parameter, found)
    for part in getattr(optimizer, "chained_optimizers", [optimizer]):
        for group in part.optimizer.param_groups:
            if "step" in group:
                group["step"] = int(stored.step)


def file_name(rank: int) -> str:
    return f"rank-{rank:05d}.safetensors"


class _Piece(NamedTuple):
    start: int
    end: int
    file: Path
    key: str


class _Stored:
    """The ranges in the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pieces: dict[tuple[str, str, int, int], list[_Piece]] = defaultdict(list)
        self._parts: dict[str, int] = {}
        self._open: dict[Path, Any] = {}
        self.step = 0.0
        for path in sorted(folder.glob("*.safetensors")):
            self._open[path] = file = safe_open(path, "pt")
            self.step = max(self.step, float((file.metadata() or {}).get("step", 0)))
            for key in file.keys():  # noqa: SIM118 - it is no dictionary
                kind, name, part, parts, start, end = json.loads(key)
                self._pieces[kind, name, part, parts].append(_Piece(start, end, path, key))
                self._parts[name] = parts

    def read(self, kind: str, wanted: Range, local: tuple[int, ...]) -> Tensor:
        """The values of a range. local: the shape of the parameter's part."""
        parts = self._parts.get(wanted.name, 0)
        if parts == wanted.parts:
            return self._flat(kind, wanted)
        if not parts:
            raise UserError(f"{self.folder}: the state of {wanted.name} is missing")
        dims = list(local)
        split = 0 if wanted.name.endswith((*weight_map.SPLIT_ROWS, "linear_fc1.weight")) else 1
        dims[split] = dims[split] * wanted.parts // parts
        count = torch.Size(dims).numel()
        theirs = [
            self._flat(kind, Range(wanted.name, part, parts, 0, count)).view(dims)
            for part in range(parts)
        ]
        whole = weight_map.unshard(wanted.name, theirs)
        own = weight_map.shard(wanted.name, whole, wanted.parts, wanted.part)
        return own.reshape(-1)[wanted.start : wanted.end]

    def _flat(self, kind: str, wanted: Range) -> Tensor:
        name, part, parts, start, end = wanted
        found = torch.empty(end - start, dtype=torch.float32)
        filled = 0
        for piece in self._pieces[kind, name, part, parts]:
            first, last = max(start, piece.start), min(end, piece.end)
            if first < last:
                stored = self._open[piece.file].get_slice(piece.key)
                found[first - start : last - start] = stored[
                    first - piece.start : last - piece.start
                ]
                filled += last - first
        if filled != end - start:
            raise UserError(f"{self.folder}: a part of {kind} of {name} is missing")
        return found


def _steps(optimizer: Any) -> float:
    """How many steps an optimizer has taken; the same for all parameters."""
    for part in getattr(optimizer, "chained_optimizers", [optimizer]):
        for group in part.optimizer.param_groups:
            if "step" in group:
                return float(group["step"])
            for parameter in group["params"]:
                state = part.optimizer.state.get(parameter, {})
                if "step" in state:
                    return float(state["step"])
    return 0.0


def path_of(folder: Path) -> Path:
    """This rank's file."""
    return folder / file_name(parallel.rank())
