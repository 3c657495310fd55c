"""Weights between a Hugging Face folder and this rank's modules, bit for bit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from qvl.megatron import parallel
from qvl.megatron.qwen3vl import LocalModel
from qvl.model import merge, weight_map
from qvl.model.folder import Folder


def load(model: LocalModel, folder: Folder) -> None:
    """Fill this rank's parameters. UserError where the folder lacks one or has another shape."""
    merge.check(folder, model.shape)
    size = parallel_state.get_tensor_model_parallel_world_size()
    rank = parallel_state.get_tensor_model_parallel_rank()
    with torch.no_grad():
        for name, parameter in parameters(model):
            whole = merge.load(folder, name, model.shape)
            parameter.copy_(
                whole if _is_expert(name) else weight_map.shard(name, whole, size, rank)
            )


def write(model: LocalModel, folder: Folder, target: Path) -> None:
    """A folder like `folder` at `target` with this model's weights; every rank of the world calls,
    and rank 0 writes. It holds a file's tensors at a time, beside its own part of the model."""
    folder.write_like(target, RankTensors(model, folder).tensor, keep=parallel.rank() == 0)
    parallel.barrier()


class RankTensors(merge.MergedTensors):
    """Of the ranks that share a model.

    Every rank of the world must ask for the same ones, in the same order.
    """

    def __init__(self, model: LocalModel, folder: Folder) -> None:
        self.model = model
        self._mine = dict(parameters(model))
        self._size = parallel_state.get_tensor_model_parallel_world_size()
        self._owner: dict[str, int] = {}
        self._lacking: set[str] = set()  # what not every rank has a part of
        self._dims = dict(merge.parameters(model.shape))
        # The last stage of a tied model has a copy of the embedding by this name.
        self._dims[weight_map.HEAD] = weight_map.dims(weight_map.HEAD, model.shape)
        held = parallel.gather(list(self._mine))
        for rank, known in enumerate(held):
            for name in known:
                self._owner.setdefault(name, rank)
        for known in held:
            self._lacking |= self._owner.keys() - set(known)
        super().__init__(self._owner, folder, model.shape)

    def parameter(self, name: str) -> Tensor:
        own = self._mine.get(name)
        if own is None:
            dtype = next(self.model.parameters()).dtype
            whole = torch.empty(self._dims[name], dtype=dtype, device=parallel.device())
        else:
            whole = self._joined(name, own.detach().contiguous())
        if name in self._lacking:
            if own is not None and dist.get_rank() != self._owner[name]:
                whole = whole.clone()  # it may be the parameter: not to be written to
            dist.broadcast(whole, self._owner[name])
        return whole

    def _joined(self, name: str, part: Tensor) -> Tensor:
        """The parts of the tensor-parallel ranks, joined."""
        if self._size == 1 or _is_expert(name):
            return part
        parts = [torch.empty_like(part) for _ in range(self._size)]
        dist.all_gather(parts, part, group=parallel_state.get_tensor_model_parallel_group())
        return weight_map.unshard(name, parts)


def _is_expert(name: str) -> bool:
    """Experts are not split: their tensor-parallel size is 1."""
    return "local_experts" in name


def parameters(model: LocalModel) -> Iterator[tuple[str, torch.nn.Parameter]]:
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
