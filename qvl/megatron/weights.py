"""Weights between a Hugging Face folder and this rank's modules, bit for bit."""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from qvl.errors import UserError
from qvl.megatron import parallel
from qvl.megatron.qwen3vl import Part
from qvl.model import names
from qvl.model.folder import Folder

LATEST = 4  # parameters that are kept whole for their next Hugging Face tensor: those of a layer


def load(model: Part, folder: Folder) -> None:
    """Fill this rank's parameters. UserError where the folder lacks one, or has another shape."""
    size = parallel_state.get_tensor_model_parallel_world_size()
    rank = parallel_state.get_tensor_model_parallel_rank()
    with torch.no_grad():
        for name, parameter in parameters(model):
            found = _source(model, name)
            stored = [folder.get(source) for source in found.names]
            try:
                whole = names.join(found, stored, model.shape)
                part = whole if _is_expert(name) else names.shard(name, whole, size, rank)
            except (IndexError, RuntimeError):
                part = stored[0].new_empty(0)
            if part.shape != parameter.shape:
                dims = ", ".join(str(tuple(tensor.shape)) for tensor in stored)
                raise UserError(
                    f"{folder.path}: {', '.join(found.names)} of shape {dims}, which is not what "
                    "config.json says"
                )
            parameter.copy_(part)


def export(model: Part, folder: Folder) -> dict[str, Tensor]:
    """The tensors that `folder` has, with this model's weights, whole, on every rank.

    Every rank of the world must call. It holds the whole model; `write` does not.
    """
    whole = Whole(model, folder)
    return {name: whole.tensor(name).clone() for name in folder.names}


def write(model: Part, folder: Folder, target: Path) -> None:
    """A folder like `folder` at `target` with this model's weights; every rank of the world calls,
    and rank 0 writes. It holds a file's tensors at a time, beside its own part of the model."""
    folder.write_like(target, Whole(model, folder).tensor, keep=parallel.rank() == 0)
    parallel.barrier()


class Whole:
    """A model's tensors by their Hugging Face names, put together from the ranks that share it.

    Every rank of the world must ask for the same ones, in the same order.
    """

    def __init__(self, model: Part, folder: Folder) -> None:
        self.model, self.folder = model, folder
        self._mine = dict(parameters(model))
        self._size = parallel_state.get_tensor_model_parallel_world_size()
        self._owner: dict[str, int] = {}
        self._lacking: set[str] = set()  # what not every rank has a part of
        self._dims: dict[str, torch.Size] = {}
        held = parallel.gather([(name, self._whole_dims(name)) for name in self._mine])
        for rank, parts in enumerate(held):
            for name, dims in parts:
                self._owner.setdefault(name, rank)
                self._dims[name] = dims
        for parts in held:
            self._lacking |= self._owner.keys() - {name for name, _ in parts}
        self._made_of: dict[str, list[str]] = {}
        for name in self._owner:
            for source in _source(model, name).names:
                self._made_of.setdefault(source, []).append(name)
        self._latest: OrderedDict[str, list[Tensor]] = OrderedDict()

    def tensor(self, name: str) -> Tensor:
        """One tensor, as `folder` stores it."""
        made_of = self._made_of[name]
        found = names.source(made_of[0])
        if not found.kind.startswith("expert"):
            return self._split(made_of[0])[found.names.index(name)]
        made_of = sorted(made_of, key=lambda each: names.source(each).expert)
        turned = names.stored_transposed(found, self.folder.dims(name), self.model.shape)
        slices = [self._put_together(each) for each in made_of]
        return torch.stack([each.T if turned else each for each in slices])

    def _split(self, name: str) -> list[Tensor]:
        """The Hugging Face tensors of a parameter, which are mostly asked for one after the other."""
        if name not in self._latest:
            whole = self._put_together(name)
            self._latest[name] = names.split(names.source(name), whole, self.model.shape)
            if len(self._latest) > LATEST:
                self._latest.popitem(last=False)
        return self._latest[name]

    def _put_together(self, name: str) -> Tensor:
        parameter = self._mine.get(name)
        if parameter is None:
            dtype = next(self.model.parameters()).dtype
            whole = torch.empty(self._dims[name], dtype=dtype, device=parallel.device())
        else:
            whole = self._joined(name, parameter.detach().contiguous())
        if name in self._lacking:
            if parameter is not None and dist.get_rank() != self._owner[name]:
                whole = whole.clone()  # it may be the parameter: not to be written to
            dist.broadcast(whole, self._owner[name])
        return whole

    def _joined(self, name: str, part: Tensor) -> Tensor:
        """The parts of the tensor-parallel ranks, joined."""
        if self._size == 1 or _is_expert(name):
            return part
        parts = [torch.empty_like(part) for _ in range(self._size)]
        dist.all_gather(parts, part, group=parallel_state.get_tensor_model_parallel_group())
        return names.unshard(name, parts)

    def _whole_dims(self, name: str) -> torch.Size:
        part = torch.empty(self._mine[name].shape, device="meta")
        size = 1 if _is_expert(name) else self._size
        return names.unshard(name, [part] * size).shape


def _source(model: Part, name: str) -> names.Source:
    if name.endswith("output_layer.weight") and model.shape.tied:
        return names.source("language_model.embedding.word_embeddings.weight")
    return names.source(name)


def _is_expert(name: str) -> bool:
    """Experts are not cut: their tensor-parallel size is 1."""
    return "local_experts" in name


def parameters(model: Part) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """This rank's parameters by their global names."""
    rank = parallel_state.get_expert_model_parallel_rank()
    for chunk in model.chunks:
        layers: Any = chunk.language_model.decoder.layers
        for name, parameter in chunk.named_parameters():
            words = name.split(".")
            if name.startswith("language_model.decoder.layers."):
                layer = layers[int(words[3])]
                words[3] = str(layer.layer_number - 1)
                if "local_experts" in words:
                    at = words.index("local_experts") + 1
                    local = len(layer.mlp.experts.local_experts)
                    words[at] = str(int(words[at]) + rank * local)
            yield ".".join(words), parameter
