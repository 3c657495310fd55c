"""Qwen3-VL on Megatron: the vision tower, the decoder, and the hidden states of target tokens.

Shapes: T tokens of a pack, D hidden, M image tokens, R target tokens, V vocabulary.
"""

from typing import Any

import torch
from megatron.core import parallel_state, tensor_parallel
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor

from qvl.megatron import context_parallel, decoder, image_sharing
from qvl.megatron.attention import segments
from qvl.megatron.output import Output
from qvl.model import rope, weight_map
from qvl.model.batch import Batch
from qvl.model.shape import Shape
from qvl.model.vision import VisionTower, recompute


class LocalModel(torch.nn.ModuleList):
    """The part of a model on this rank: one pipeline stage, or several where they are interleaved."""

    def __init__(self, config: TransformerConfig, shape: Shape) -> None:
        count = config.virtual_pipeline_model_parallel_size
        chunks = [None] if count is None else range(count)
        super().__init__(Qwen3VL(config, shape, chunk) for chunk in chunks)
        self.config, self.shape = config, shape

    @property
    def sees_images(self) -> bool:
        return any(chunk.vision is not None for chunk in self.chunks)

    @property
    def chunks(self) -> list["Qwen3VL"]:
        return list(self)  # type: ignore[arg-type]


class Qwen3VL(MegatronModule):
    """One pipeline stage. The tower and all DeepStack layers are in the first."""

    def __init__(self, config: TransformerConfig, shape: Shape, chunk: int | None = None) -> None:
        super().__init__(config)
        self.shape = shape
        where: dict[str, Any] = {"ignore_virtual": chunk is None, "vp_stage": chunk}
        self.pre_process = parallel_state.is_pipeline_first_stage(**where)
        self.post_process = parallel_state.is_pipeline_last_stage(**where)
        self.vp_stage = chunk  # Megatron reads it
        self.reports_every_gradient = False
        """Whether parameters of the tower get a gradient of 0 from a batch without images, not none."""
        self.language_model = decoder.build(
            config, shape, chunk, first=self.pre_process, last=self.post_process
        )
        for name, parameter in self.language_model.named_parameters():
            if weight_map.is_split(name):
                # Megatron marks them as it initialises them, which it does not do here; without
                # the mark the gradient norm omits all ranks but the first.
                parameter.tensor_model_parallel = True  # type: ignore[attr-defined]
        self.model_type = self.language_model.model_type
        self.share_embeddings_and_output_weights = shape.tied
        self.vision = None
        if self.pre_process:
            levels = len(shape.vision.deepstack_layers)
            assert levels <= len(self.language_model.decoder.layers), "DeepStack spans two stages"
            self.vision = VisionTower(shape.vision).to(config.params_dtype)
            for parameter in self.vision.parameters():  # a copy on each tensor-parallel rank
                parameter.average_gradients_across_tp_domain = True  # type: ignore[attr-defined]

    def set_input_tensor(self, tensor: Tensor | list[Tensor]) -> None:
        self.language_model.set_input_tensor(tensor[0] if isinstance(tensor, list) else tensor)

    def shared_embedding_or_output_weight(self) -> Tensor:
        return self.language_model.shared_embedding_or_output_weight()

    def forward(self, batch: Batch) -> Tensor | Output:
        """In the last stage, the output for this rank's target tokens; in earlier stages, the hidden
        states for the next one (T, 1, D)."""
        whole = batch
        model, shape = self.language_model, self.shape
        batch = context_parallel.padded(batch, sequence_parallel=self.config.sequence_parallel)
        own = context_parallel.own_tokens(len(batch.ids)).to(batch.ids.device)
        hidden = deep = deep_rows = None
        if self.pre_process:
            hidden, deep, deep_rows = self._embed(batch, own)
        positions = batch.positions.index_select(1, own)
        turn = rope.angles(positions, shape.head_dim, shape.rope_theta, shape.mrope_section)
        hidden = model.decoder(
            hidden_states=hidden,
            attention_mask=None,
            context=deep,
            context_mask=deep_rows,
            rotary_pos_emb=turn[:, None, None],  # (T, 1, 1, head_dim)
            packed_seq_params=segments(
                batch.lengths,
                batch.ids.device,
                parallel_state.get_context_parallel_rank(),
                parallel_state.get_context_parallel_world_size(),
            ),
        )
        if not self.post_process:
            return hidden
        if self.config.sequence_parallel:
            hidden = tensor_parallel.gather_from_sequence_parallel_region(
                hidden, tensor_parallel_output_grad=False
            )
        rows = context_parallel.places(own, len(batch.ids))[batch.rows]
        here = (rows >= 0).nonzero()[:, 0]
        shared = self.config.tensor_model_parallel_size > 1
        return Output(
            batch=whole.with_targets(here),
            places=here,
            hidden=hidden[:, 0].index_select(0, rows[here]),
            head=self._head(),
            group=parallel_state.get_tensor_model_parallel_group() if shared else None,
        )

    def _embed(self, batch: Batch, own: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """This rank's vectors, those of images in their places (T, 1, D); DeepStack's (L, M, D) and
        the rows to which they are added (M,)."""
        hidden = self.language_model.embedding(input_ids=batch.ids[None], position_ids=None)
        deep = rows = None
        places = batch.image_rows
        if places is None and self.reports_every_gradient:
            places = batch.ids.new_empty(0)
        if self.vision is not None and places is not None:
            tokens, deep = self._see(self.vision, batch)
            if batch.image_tokens:
                tokens = image_sharing.gather(tokens, batch.image_tokens)
            hidden = hidden.index_copy(0, places, tokens.to(hidden.dtype)[:, None])
            deep, rows = self._own_features(deep, places, batch, own)
        if len(own) < len(batch.ids):
            hidden = hidden.index_select(0, own)
        if self.config.sequence_parallel:
            hidden = tensor_parallel.scatter_to_sequence_parallel_region(hidden)
        return hidden, deep, rows

    def _see(self, tower: VisionTower, batch: Batch) -> tuple[Tensor, Tensor]:
        """The tokens of this rank's images (m, D), and DeepStack's (L, m, D).

        A rank without images computes a blank one, which no token shows. Its gradients are 0, and come
        in the order of those of images: ranks send buckets in the order in which these are complete.
        """
        patches, grids, shape = batch.patches, batch.grids, self.shape.vision
        if patches is None:
            blank = torch.zeros(shape.merge**2, shape.patch_values, device=batch.ids.device)
            tokens, deep = tower(blank, [(1, shape.merge, shape.merge)])
            return tokens[:0], deep[:, :0]
        if self.config.recompute_granularity == "full":
            return recompute(tower, patches, grids)
        return tower(patches, grids)

    def _own_features(
        self, deep: Tensor, places: Tensor, batch: Batch, own: Tensor
    ) -> tuple[Tensor, Tensor]:
        """DeepStack's features of the image tokens that this rank has, and their rows. places: of all
        image tokens."""
        divided, dealt = self.config.sequence_parallel, batch.image_tokens
        if divided:
            rank = parallel_state.get_tensor_model_parallel_rank()
            own = own.chunk(self.config.tensor_model_parallel_size)[rank]
        rows = context_parallel.places(own, len(batch.ids))[places]
        here = (rows >= 0).nonzero()[:, 0]
        if dealt:
            levels = [image_sharing.gather(level, dealt, divided=divided)[here] for level in deep]
            return torch.stack(levels), rows[here]
        if divided:
            # Each rank adds only its rows: without this the mergers' gradients lack the others'.
            deep = tensor_parallel.copy_to_tensor_model_parallel_region(deep)
        return deep[:, here], rows[here]

    def _head(self) -> Tensor:
        """(V / tensor-parallel size, D)"""
        if self.shape.tied and self.pre_process:
            return self.shared_embedding_or_output_weight()
        head: Any = self.language_model.output_layer
        return head()
