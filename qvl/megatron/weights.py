"""Weights between a Hugging Face folder and this rank's modules, bit for bit."""

from collections.abc import Iterator
from typing import Any

import torch
from megatron.core import parallel_state
from torch import Tensor

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
            # Experts are not cut: their tensor-parallel size is 1.
            expert = "local_experts" in name
            parameter.copy_(whole if expert else names.shard(name, whole, size, rank))


def export(model: Qwen3VL, folder: Folder) -> dict[str, Tensor]:
    """The tensors that `folder` has, with this model's weights. One rank must hold them all."""
    if parallel_state.get_tensor_model_parallel_world_size() > 1:
        raise NotImplementedError("export under tensor parallelism")
    if parallel_state.get_pipeline_model_parallel_world_size() > 1:
        raise NotImplementedError("export under pipeline parallelism")
    out: dict[str, Any] = {}
    experts: dict[str, dict[int, Tensor]] = {}
    for name, parameter in parameters(model):
        found = names.source(name)
        parts = names.split(found, parameter.detach(), model.shape)
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
