"""Weights between a Hugging Face folder and this rank's modules, bit for bit."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from qvl.errors import UserError
from qvl.megatron import parallel
from qvl.megatron.qwen3vl import LocalModel
from qvl.model import merge, weight_map
from qvl.model.folder import Folder
from qvl.model.folder_writer import FolderWriter, staging_folder
from qvl.model.shape import Shape

UNSEEN = "not every machine sees this folder; choose one that they share"


def load(model: LocalModel, folder: Folder) -> None:
    """Fill this rank's parameters. UserError where the folder lacks one or has another shape."""
    merge.check(folder, model.shape)
    size = parallel_state.get_tensor_model_parallel_world_size()
    rank = parallel_state.get_tensor_model_parallel_rank()
    with torch.no_grad():
        for name, parameter in parameters(model):
            whole = merge.load(folder, name, model.shape)
            parameter.copy_(whole if is_expert(name) else weight_map.shard(name, whole, size, rank))


def write(model: LocalModel, folder: Folder, target: Path) -> None:
    """Write a folder like `folder` at `target` with this model's weights. Every rank of the world
    calls, and writes its share: `target` is on a disk, or in the memory, that all of them see.

    The ranks that have the same parameters deal them out by size. A parameter that tensor parallelism
    splits is gathered by its writer alone, an expert by none; a rank holds one parameter at a time
    beside its part of the model. The folder is complete or absent; over an existing one, its config.json
    is missing while files are exchanged. UserError on every rank where one cannot write.
    """
    first = parallel.rank() == 0
    staging = parallel.gather(staging_folder(target) if first else None)[0]
    writer = FolderWriter(folder, target, staging)
    _agree(writer, _attempt(writer.begin) if first else None)
    _agree(writer, None if staging.is_dir() else UNSEEN)
    error = None
    for name, parameter in _own_share(model):
        error = error or _attempt(_store, writer, name, parameter, model.shape)
    _agree(writer, error)
    _agree(writer, _attempt(writer.finish) if first else None)


def _own_share(model: LocalModel) -> Iterator[tuple[str, Tensor]]:
    """The complete parameters that this rank writes, by their global names. All ranks must iterate to
    the end, because they gather."""
    mine, tied = list(parameters(model)), model.shape.tied
    copies: Any = parallel_state.get_data_parallel_group(with_context_parallel=True)
    group: Any = parallel_state.get_tensor_model_parallel_group()
    # The last stage of a tied model has a copy of the embedding by the name of the head.
    shared = [
        each for each in mine if not (is_expert(each[0]) or (tied and each[0] == weight_map.HEAD))
    ]
    owners = _deal([each.numel() for _, each in shared], copies.size() * group.size())
    for (name, parameter), owner in zip(shared, owners, strict=True):
        copy, rank = divmod(owner, group.size())
        if copy != copies.rank():
            continue
        whole = parameter.detach()
        if weight_map.is_split(name) and group.size() > 1:
            whole = _gathered(name, whole.contiguous(), group, rank)
        if rank == group.rank():
            assert whole is not None
            yield name, whole
    experts = [each for each in mine if is_expert(each[0])]
    copies = parallel_state.get_expert_data_parallel_group()
    owners = _deal([each.numel() for _, each in experts], copies.size())
    for (name, parameter), owner in zip(experts, owners, strict=True):
        if owner == copies.rank():
            yield name, parameter.detach()


def _gathered(name: str, part: Tensor, group: Any, rank: int) -> Tensor | None:
    """The parts of the tensor-parallel ranks, joined, on one of them."""
    here = rank == group.rank()
    parts = [torch.empty_like(part) for _ in range(group.size())] if here else None
    dist.gather(part, parts, dist.get_global_rank(group, rank), group=group)
    return weight_map.unshard(name, parts) if parts else None


def _store(writer: FolderWriter, name: str, parameter: Tensor, shape: Shape) -> None:
    """Write a complete parameter, or an expert's, as its Hugging Face tensors."""
    found = weight_map.source(name, shape)
    for each, tensor in zip(found.names, weight_map.split(found, parameter, shape), strict=True):
        if found.is_expert:
            transposed = weight_map.stored_transposed(found, writer.dims(each), shape)
            writer.write(each, tensor.T if transposed else tensor, found.expert)
        else:
            writer.write(each, tensor)
    head = weight_map.TOP[weight_map.HEAD]
    if name == weight_map.EMBEDDING and shape.tied and head in writer.like:
        writer.write(head, parameter)


def _deal(sizes: Sequence[int], count: int) -> list[int]:
    """To which of `count` hands each goes, the largest first, each to the one with the least."""
    loads = [(0, hand) for hand in range(count)]
    owners = [0] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        load, owners[index] = heapq.heappop(loads)
        heapq.heappush(loads, (load + sizes[index], owners[index]))
    return owners


def _attempt(function: Callable[..., None], *args: Any) -> str | None:
    """The message of the OSError that it raises."""
    try:
        function(*args)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _agree(writer: FolderWriter, error: str | None) -> None:
    """Wait for all ranks. UserError on each of them where one has an error."""
    errors = [each for each in parallel.gather(error) if each]
    if errors:
        if parallel.rank() == 0:
            writer.discard()
        raise UserError(f"{writer.target}: {errors[0]}")


def is_expert(name: str) -> bool:
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
