"""The one place that builds Megatron's decoder: its configuration, its layers, its model class.

Shapes are Megatron's: T tokens first, then batch, which is 1 for a pack.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.models.gpt.gpt_model import GPTModel
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import (
    TransformerBlockSubmodules,
    get_num_layers_to_build,
)
from megatron.core.transformer.transformer_config import TransformerConfig
from megatron.core.transformer.transformer_layer import TransformerLayer
from torch import Tensor

from qvl.errors import UserError
from qvl.megatron import cpu
from qvl.megatron import overrides as user_fields
from qvl.megatron.attention import PackedAttention
from qvl.megatron.parallel import Layout
from qvl.model.shape import Shape

TRANSFORMER_ENGINE = "transformer_engine"


def transformer_config(
    shape: Shape,
    layout: Layout,
    dtype: torch.dtype,
    overrides: Mapping[str, Any] | None = None,
    moe_aux_loss: float = 0.0,
) -> TransformerConfig:
    """Megatron's configuration of a shape at a layout. `overrides` are fields that a user sets.

    UserError for an override that is not a field, or that Megatron rejects.
    """
    fields = _fields(shape, layout, dtype, moe_aux_loss)
    found = user_fields.checked(overrides or {}, TransformerConfig, "--set")
    fields |= found
    if fields["transformer_impl"] == TRANSFORMER_ENGINE and not find_spec(TRANSFORMER_ENGINE):
        raise UserError(
            "--set transformer_impl=transformer_engine: not installed; install transformer-engine"
        )
    with user_fields.rejections(found, "--set"):
        return TransformerConfig(**fields)


def _fields(
    shape: Shape, layout: Layout, dtype: torch.dtype, moe_aux_loss: float
) -> dict[str, Any]:
    experts: dict[str, Any] = {}
    if shape.num_experts:
        experts = {
            "num_moe_experts": shape.num_experts,
            "moe_router_topk": shape.experts_per_token,
            "moe_ffn_hidden_size": shape.expert_ffn,
            "moe_router_pre_softmax": False,  # the probabilities of the chosen sum to 1, as in HF
            "moe_router_load_balancing_type": "aux_loss" if moe_aux_loss else "none",
            "moe_aux_loss_coeff": moe_aux_loss,
            "moe_router_dtype": "fp32",
        }
    return dict(
        num_layers=shape.layers,
        hidden_size=shape.hidden,
        num_attention_heads=shape.heads,
        num_query_groups=shape.kv_heads,
        kv_channels=shape.head_dim,
        ffn_hidden_size=shape.ffn,
        normalization="RMSNorm",
        layernorm_epsilon=shape.eps,
        gated_linear_unit=True,
        activation_func=F.silu,
        add_bias_linear=False,
        qk_layernorm=True,
        attention_dropout=0.0,
        hidden_dropout=0.0,
        params_dtype=dtype,
        pipeline_dtype=dtype,
        bf16=dtype == torch.bfloat16,
        tensor_model_parallel_size=layout.tensor,
        pipeline_model_parallel_size=layout.pipeline,
        virtual_pipeline_model_parallel_size=layout.virtual if layout.virtual > 1 else None,
        pipeline_model_parallel_layout=_stages(shape, layout),
        context_parallel_size=layout.context,
        expert_model_parallel_size=layout.expert,
        expert_tensor_parallel_size=1,
        sequence_parallel=layout.sequence_parallel,
        # Packs differ in length, so stages announce shapes; Megatron then requires this dispatcher.
        variable_seq_lengths=layout.pipeline > 1,
        moe_token_dispatcher_type="alltoall",
        # The loss has divided by the whole batch already: ranks add their gradients.
        calculate_per_token_loss=True,
        use_cpu_initialization=cpu.needed(),
        perform_initialization=False,  # every weight comes from the checkpoint
        transformer_impl="local",
        # These compile or fuse with libraries that are not required here.
        bias_dropout_fusion=False,
        bias_activation_fusion=False,
        masked_softmax_fusion=False,
        persist_layer_norm=False,
        gradient_accumulation_fusion=False,
        apply_rope_fusion=False,
        batch_p2p_comm=not cpu.needed() and not _in_ring_of_two(layout),
        **experts,
    )


def _in_ring_of_two(layout: Layout) -> bool:
    """Whether a rank's next stage and its previous one are on the same other rank, which would take
    the messages of a batch for one another's."""
    return layout.pipeline == 2 and layout.virtual > 1


def _stages(shape: Shape, layout: Layout) -> list[list[str]] | None:
    """Megatron's description of stages of different length; None where all are equal."""
    counts = layout.stages(shape)
    if len(set(counts)) == 1:
        return None
    stages = [["decoder"] * count for count in counts]
    return [["embedding", *stages[0]], *stages[1:-1], [*stages[-1], "loss"]]


def build(
    config: TransformerConfig, shape: Shape, chunk: int | None, *, first: bool, last: bool
) -> GPTModel:
    """A stage of the decoder, with the embedding if `first` and the head if `last`. chunk: which of
    this rank's stages it is, if it has several."""
    layer = _layer_spec(config)
    norm: Any = RmsNorm
    block: Any = TransformerBlockSubmodules(
        layer_specs=[layer] * get_num_layers_to_build(config, chunk), layer_norm=norm
    )
    model = GPTModel(
        config,
        block,
        vocab_size=shape.vocab,
        max_sequence_length=shape.max_positions,
        pre_process=first,
        post_process=last,
        position_embedding_type="none",  # rope is interleaved and comes from qvl.model.rope
        share_embeddings_and_output_weights=shape.tied,
        scatter_embedding_sequence_parallel=False,  # images are put in before
        vp_stage=chunk,
    )
    if last:
        # Losses multiply by the weight themselves. They get it from a call of the module, because
        # before a call Megatron waits for parameters that other ranks send.
        head: Any = model.output_layer
        head.forward = lambda: head.weight
    return model


class RmsNorm(torch.nn.Module):
    """Megatron's wrapper of torch's norm refuses sequence parallelism; this one marks its weight."""

    def __init__(self, config: Any, hidden_size: int, eps: float = 1e-6, **_: Any) -> None:
        super().__init__()
        self.eps = eps
        self.weight = torch.nn.Parameter(torch.ones(hidden_size, dtype=config.params_dtype))
        self.weight.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class DeepStackLayer(TransformerLayer):
    """Adds the tower's features of this depth to the tokens of images, after the layer.

    They come as Megatron's `context` (levels, M, D), and where they go as `context_mask` (M,):
    arguments of every layer, so activation recomputation and pipelining keep them.
    """

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        done: Any = super().forward(*args, **kwargs)
        hidden, context = done
        level = self.layer_number - 1
        if context is not None and level < len(context):
            tokens, batch, width = hidden.shape
            flat = hidden.reshape(tokens * batch, width)
            added = flat.index_add(0, kwargs["context_mask"], context[level].to(hidden.dtype))
            hidden = added.view(tokens, batch, width)
        return hidden, context


def _layer_spec(config: TransformerConfig) -> ModuleSpec:
    spec = get_gpt_layer_local_spec(
        num_experts=config.num_moe_experts,
        moe_grouped_gemm=False,
        qk_layernorm=True,
        normalization="RMSNorm",
    )
    spec.module = DeepStackLayer
    parts: Any = spec.submodules
    parts.input_layernorm = parts.pre_mlp_layernorm = RmsNorm
    attention = parts.self_attention.submodules
    attention.q_layernorm = attention.k_layernorm = RmsNorm
    attention.core_attention = PackedAttention
    if config.transformer_impl == TRANSFORMER_ENGINE:
        _take_transformer_engine(parts)
    return spec


def _take_transformer_engine(parts: Any) -> None:
    """Transformer Engine's matrix products, for fp8 and its kernels. Norms and attention stay ours:
    so do the names of parameters, and how a pack is cut under context parallelism. It needs CUDA,
    and has not run yet: tests/gpu has its test."""
    from megatron.core.extensions import transformer_engine

    columns: Any = transformer_engine.TEColumnParallelLinear
    rows: Any = transformer_engine.TERowParallelLinear
    attention = parts.self_attention.submodules
    attention.linear_qkv, attention.linear_proj = columns, rows
    mlp = parts.mlp.submodules
    experts = getattr(mlp, "experts", None)
    dense = experts.submodules if experts else mlp
    dense.linear_fc1, dense.linear_fc2 = columns, rows
