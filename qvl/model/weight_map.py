"""Map Hugging Face tensors to Megatron parameters and back, bit for bit.

Megatron names here are global: layers and experts are numbered over the whole model, whichever stage
or rank holds them. `language_model.` is Megatron's decoder, `vision.` the tower of qvl.model.vision.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qvl.model.shape import Shape

LAYER = re.compile(r"language_model\.decoder\.layers\.(\d+)\.(.+)")
EXPERT = re.compile(r"mlp\.experts\.local_experts\.(\d+)\.(linear_fc[12])\.weight")

EMBEDDING = "language_model.embedding.word_embeddings.weight"
HEAD = "language_model.output_layer.weight"
TOP = {
    EMBEDDING: "model.language_model.embed_tokens.weight",
    HEAD: "lm_head.weight",
    "language_model.decoder.final_layernorm.weight": "model.language_model.norm.weight",
}
IN_LAYER = {
    "input_layernorm.weight": "input_layernorm.weight",
    "pre_mlp_layernorm.weight": "post_attention_layernorm.weight",
    "self_attention.q_layernorm.weight": "self_attn.q_norm.weight",
    "self_attention.k_layernorm.weight": "self_attn.k_norm.weight",
    "self_attention.linear_proj.weight": "self_attn.o_proj.weight",
    "mlp.linear_fc2.weight": "mlp.down_proj.weight",
    "mlp.router.weight": "mlp.gate.weight",
}
EXPERTS_ON_DISK = "language_model.decoder.layers.mlp.experts.experts."
NORMS_ON_DISK = {  # with Transformer Engine, a norm belongs to the linear layer after it
    "input_layernorm.weight": "self_attention.linear_qkv.layer_norm_weight",
    "pre_mlp_layernorm.weight": "mlp.linear_fc1.layer_norm_weight",
}
SPLIT_ROWS = ("word_embeddings.weight", "output_layer.weight", "linear_qkv.weight")
SPLIT_COLUMNS = ("linear_proj.weight", "linear_fc2.weight")


@dataclass(frozen=True)
class Source:
    """The Hugging Face tensors of a Megatron parameter."""

    names: tuple[str, ...]
    kind: str
    """copy, qkv or gate_up; or expert_up or expert_down, a slice of the tensor of all experts."""
    expert: int = 0

    @property
    def is_expert(self) -> bool:
        return self.kind.startswith("expert")


def language_names(shape: Shape) -> Iterator[str]:
    """Yield the global names of the decoder's parameters."""
    yield EMBEDDING
    linear = ("linear_fc1.weight", "linear_fc2.weight")
    mlp = [f"mlp.{each}" for each in linear]
    if shape.num_experts:
        mlp = ["mlp.router.weight"]
        for expert in range(shape.num_experts):
            mlp += [f"mlp.experts.local_experts.{expert}.{each}" for each in linear]
    everywhere = [name for name in IN_LAYER if not name.startswith("mlp.")]
    for layer in range(shape.layers):
        for name in (*everywhere, "self_attention.linear_qkv.weight", *mlp):
            yield f"language_model.decoder.layers.{layer}.{name}"
    yield "language_model.decoder.final_layernorm.weight"
    if not shape.tied:
        yield HEAD


def dims(name: str, shape: Shape) -> tuple[int, ...]:
    """The shape of a complete parameter of the decoder."""
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    ffn = shape.expert_ffn if ".local_experts." in name else shape.ffn
    known = {
        "word_embeddings": (shape.vocab, shape.hidden),
        "output_layer": (shape.vocab, shape.hidden),
        "linear_qkv": (queries + 2 * keys, shape.hidden),
        "linear_proj": (shape.hidden, queries),
        "q_layernorm": (shape.head_dim,),
        "k_layernorm": (shape.head_dim,),
        "linear_fc1": (2 * ffn, shape.hidden),
        "linear_fc2": (shape.hidden, ffn),
        "router": (shape.num_experts, shape.hidden),
    }
    return known.get(name.split(".")[-2], (shape.hidden,))


def on_disk(name: str) -> tuple[str, tuple[int, ...]]:
    """The tensor of a Megatron distributed checkpoint that holds a parameter, and its index in it.

    Layers are stacked in one tensor there, and so are experts.
    """
    match = LAYER.fullmatch(name)
    if not match:
        return name, ()
    layer, rest = int(match[1]), match[2]
    if expert := EXPERT.fullmatch(rest):
        return f"{EXPERTS_ON_DISK}{expert[2]}.weight", (layer, int(expert[1]))
    return f"language_model.decoder.layers.{NORMS_ON_DISK.get(rest, rest)}", (layer,)


def source(name: str, shape: Shape) -> Source:
    """The source of a parameter, by its global name. KeyError for an unknown name."""
    if name == HEAD and shape.tied:
        name = EMBEDDING
    if name in TOP:
        return Source((TOP[name],), "copy")
    if name.startswith("vision."):
        return Source(("model.visual." + name.removeprefix("vision."),), "copy")
    match = LAYER.fullmatch(name)
    if not match:
        raise KeyError(name)
    layer, rest = f"model.language_model.layers.{match[1]}.", match[2]
    if rest in IN_LAYER:
        return Source((layer + IN_LAYER[rest],), "copy")
    if rest == "self_attention.linear_qkv.weight":
        return Source(tuple(f"{layer}self_attn.{x}_proj.weight" for x in "qkv"), "qkv")
    if rest == "mlp.linear_fc1.weight":
        return Source((f"{layer}mlp.gate_proj.weight", f"{layer}mlp.up_proj.weight"), "gate_up")
    expert = EXPERT.fullmatch(rest)
    if not expert:
        raise KeyError(name)
    if expert[2] == "linear_fc1":
        return Source((f"{layer}mlp.experts.gate_up_proj",), "expert_up", int(expert[1]))
    return Source((f"{layer}mlp.experts.down_proj",), "expert_down", int(expert[1]))


def join(found: Source, tensors: Sequence[Tensor], shape: Shape) -> Tensor:
    """The complete Megatron parameter of its Hugging Face tensors, or of an expert's own slice."""
    if found.kind == "qkv":
        groups = [x.view(shape.kv_heads, -1, shape.head_dim, x.shape[1]) for x in tensors]
        return torch.cat(groups, 1).reshape(-1, shape.hidden)  # per kv head: its queries, k, v
    if found.kind == "gate_up":
        return torch.cat(list(tensors))
    if found.is_expert:
        return tensors[0].T if _transposed(found, tensors[0].shape, shape) else tensors[0]
    return tensors[0]


def split(found: Source, parameter: Tensor, shape: Shape) -> list[Tensor]:
    """The inverse of `join`. An expert's slice has the layout of transformers 5."""
    if found.kind == "qkv":
        queries = shape.heads // shape.kv_heads
        groups = parameter.view(shape.kv_heads, queries + 2, shape.head_dim, shape.hidden)
        return [x.reshape(-1, shape.hidden) for x in groups.split([queries, 1, 1], dim=1)]
    if found.kind == "gate_up":
        return [x.contiguous() for x in parameter.chunk(2)]
    return [parameter]


def is_split(name: str) -> bool:
    """Whether tensor parallelism splits a parameter that is no expert's."""
    split = ("linear_fc1.weight", *SPLIT_ROWS, *SPLIT_COLUMNS)
    return name.endswith(split) and not name.startswith("vision.")


def shard(name: str, parameter: Tensor, size: int, rank: int) -> Tensor:
    """The part of a parameter that a rank has under tensor parallelism of `size`."""
    if size == 1 or not is_split(name):
        return parameter
    if name.endswith("linear_fc1.weight"):  # gate and up are divided separately
        gate, up = parameter.chunk(2)
        return torch.cat([gate.chunk(size)[rank], up.chunk(size)[rank]])
    return parameter.chunk(size, dim=0 if name.endswith(SPLIT_ROWS) else 1)[rank]


def unshard(name: str, parts: Sequence[Tensor]) -> Tensor:
    """The inverse of `shard`: the complete parameter, from the parts of all ranks."""
    if len(parts) == 1 or not is_split(name):
        return parts[0]
    if name.endswith("linear_fc1.weight"):
        halves = [part.chunk(2) for part in parts]
        return torch.cat([half[which] for which in (0, 1) for half in halves])
    return torch.cat(list(parts), dim=0 if name.endswith(SPLIT_ROWS) else 1)


def stored_transposed(found: Source, stored: Sequence[int], shape: Shape) -> bool:
    """Whether a checkpoint stores experts as (E, in, out), like those of Qwen3-VL-MoE."""
    return found.is_expert and _transposed(found, stored[1:], shape)


def _transposed(found: Source, stored: Sequence[int], shape: Shape) -> bool:
    rows = 2 * shape.expert_ffn if found.kind == "expert_up" else shape.hidden
    columns = shape.hidden if found.kind == "expert_up" else shape.expert_ffn
    return tuple(stored) != (rows, columns)
