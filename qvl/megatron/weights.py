"""Weights between a Hugging Face folder and this rank's modules, bit for bit."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

from qvl.megatron import parallel
from qvl.megatron.qwen3vl import Qwen3VL
from qvl.model import names
from qvl.model.folder import Folder


def load(model: Qwen3VL, folder: Folder) -> None:
    """Fill this rank's parameters. UserError where the folder lacks one."""
    size = parallel_state.get_tensor_model_parallel_world_size()
    rank = parallel_state.get_tensor_model_parallel_rank()
    with torch.no_grad():
        for name, parameter in parameters(model):
            found = names.source(name)
            if name.endswith("output_layer.weight") and model.shape.tied:
                found = names.source("language_model.embedding.word_embeddings.weight")
            stored = [folder.get(source) for source in found.names]
            whole = names.join(found, stored, model.shape)
            parameter.copy_(whole if _is_expert(name) else names.shard(name, whole, size, rank))


def export(model: Qwen3VL, folder: Folder) -> dict[str, Tensor]:
    """The tensors that `folder` has, with this model's weights, whole, on every rank.

    Every rank of a model that is shared must call.
    """
    out: dict[str, Any] = {}
    experts: dict[str, dict[int, Tensor]] = {}
    for name, parameter in _whole(model):
        if name.endswith("output_layer.weight") and model.shape.tied:
            continue  # the last stage's copy of the embedding
        found = names.source(name)
        parts = names.split(found, parameter, model.shape)
        if found.kind.startswith("expert"):
            dims = folder.dims(found.names[0])
            turned = names.stored_transposed(found, dims, model.shape)
            part = parts[0].T if turned else parts[0]
            experts.setdefault(found.names[0], {})[found.expert] = part
        else:
            out.update(zip(found.names, parts, strict=True))
    for name, slices in experts.items():
        out[name] = torch.stack([slices[index] for index in range(len(slices))])
    if model.shape.tied and "lm_head.weight" in folder:
        out["lm_head.weight"] = out["model.language_model.embed_tokens.weight"]
    return out


def _whole(model: Qwen3VL) -> Iterator[tuple[str, Tensor]]:
    """Every parameter of the model by its global name, put together from the ranks that share it."""
    pipeline = parallel_state.get_pipeline_model_parallel_world_size()
    if pipeline == parallel_state.get_expert_model_parallel_world_size() == 1:
        yield from _uncut(model)
        return
    mine = dict(_uncut(model))
    lists: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(lists, [(name, part.shape, part.dtype) for name, part in mine.items()])
    owners: dict[str, tuple[int, Any, torch.dtype]] = {}
    for rank, held in enumerate(lists):
        for name, dims, dtype in held:
            owners.setdefault(name, (rank, dims, dtype))
    for name, (owner, dims, dtype) in owners.items():
        part = mine.pop(name, None)
        if part is None:
            part = torch.empty(dims, dtype=dtype, device=parallel.device())
        elif dist.get_rank() != owner:
            part = torch.empty_like(part)  # one's own may be a parameter: not to be written to
        part = part.contiguous()
        dist.broadcast(part, owner)
        yield name, part


def _uncut(model: Qwen3VL) -> Iterator[tuple[str, Tensor]]:
    """This rank's parameters, whole: the tensor-parallel ranks' parts joined."""
    size = parallel_state.get_tensor_model_parallel_world_size()
    group = parallel_state.get_tensor_model_parallel_group()
    for name, parameter in parameters(model):
        part = parameter.detach().contiguous()
        if size == 1 or _is_expert(name):
            yield name, part
            continue
        parts = [torch.empty_like(part) for _ in range(size)]
        dist.all_gather(parts, part, group=group)
        yield name, names.unshard(name, parts)


def _is_expert(name: str) -> bool:
    """Experts are not cut: their tensor-parallel size is 1."""
    return "local_experts" in name


def parameters(model: Qwen3VL) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """This rank's parameters by their global names."""
    layers: Any = model.language_model.decoder.layers
    rank = parallel_state.get_expert_model_parallel_rank()
    for name, parameter in model.named_parameters():
        words = name.split(".")
        if name.startswith("language_model.decoder.layers."):
            layer = layers[int(words[3])]
            words[3] = str(layer.layer_number - 1)
            if "local_experts" in words:
                at = words.index("local_experts") + 1
                local = len(layer.mlp.experts.local_experts)
                words[at] = str(int(words[at]) + rank * local)
        yield ".".join(words), parameter
