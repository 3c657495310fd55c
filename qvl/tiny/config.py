"""The configuration files of the tiny checkpoints, and their sizes.

Engines require of them: a head_dim of 32 (vLLM on a CPU takes 32, 48, 64 and 128), an mrope_section
that sums to half of it, three DeepStack levels and at least as many layers, and experts that are not
square.
"""

import copy
from dataclasses import dataclass
from typing import Any

from qvl.tiny import tokenizer

HEAD_DIM = 32
PADDED_VOCABULARY = 512
NUM_EXPERTS, EXPERTS_PER_TOKEN = 8, 2
ROPE_THETA = 5_000_000  # Qwen3-VL's
PATCH, MERGE, FRAMES = 16, 2, 2  # Qwen3-VL's
MAX_IMAGE_TOKENS = 256
POSITIONS = 64  # 8 x 8 learned positions, interpolated to the image's grid


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """The widths and depths of the language model and the vision tower; their heads have 32 dims."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    vision_hidden: int
    vision_depth: int
    vision_ffn: int

    @property
    def expert_ffn(self) -> int:
        return self.hidden * 3 // 4  # a square expert would hide a wrong transpose

    @property
    def deepstack(self) -> list[int]:
        return [0, self.vision_depth // 2, self.vision_depth - 1]


SIZES = {  # parameters if dense: 0.48, 1.11, 2.65 and 4.81 million
    "xxs": ModelSize(
        hidden=96, layers=3, heads=3, kv_heads=1, ffn=192,
        vision_hidden=32, vision_depth=3, vision_ffn=64,
    ),
    "xs": ModelSize(
        hidden=128, layers=3, heads=4, kv_heads=2, ffn=256,
        vision_hidden=64, vision_depth=3, vision_ffn=128,
    ),
    "s": ModelSize(
        hidden=192, layers=4, heads=6, kv_heads=2, ffn=384,
        vision_hidden=96, vision_depth=3, vision_ffn=192,
    ),
    "m": ModelSize(
        hidden=256, layers=4, heads=8, kv_heads=4, ffn=512,
        vision_hidden=128, vision_depth=4, vision_ffn=256,
    ),
}  # fmt: skip

# From the model cards and the README of Qwen3-VL.
SAMPLING = {
    "instruct": {"temperature": 0.7, "top_p": 0.8, "top_k": 20},
    "thinking": {"temperature": 0.6, "top_p": 0.95, "top_k": 20},
}


def architecture(transformers: Any, size: ModelSize, moe: bool) -> Any:
    """The configuration of the model, as an object of transformers."""
    half = HEAD_DIM // 2
    section = [half - 2 * (half // 3), half // 3, half // 3]  # 24, 20, 20 of 64, here of 16
    text = {
        "vocab_size": PADDED_VOCABULARY,
        "hidden_size": size.hidden,
        "intermediate_size": size.ffn,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": HEAD_DIM,
        "max_position_embeddings": tokenizer.MAX_LENGTH,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": float(ROPE_THETA),
            "mrope_section": section,
            "mrope_interleaved": True,
        },
        "bos_token_id": tokenizer.ident("<|endoftext|>"),
        "eos_token_id": tokenizer.ident("<|im_end|>"),
        "tie_word_embeddings": not moe,  # like Qwen's small dense models and MoE models
    }
    if moe:
        text |= {
            "num_experts": NUM_EXPERTS,
            "num_experts_per_tok": EXPERTS_PER_TOKEN,
            "moe_intermediate_size": size.expert_ffn,
            "decoder_sparse_step": 1,
            "norm_topk_prob": True,
            "mlp_only_layers": [],
        }
    vision = {
        "depth": size.vision_depth,
        "hidden_size": size.vision_hidden,
        "intermediate_size": size.vision_ffn,
        "num_heads": size.vision_hidden // HEAD_DIM,
        "in_channels": 3,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": FRAMES,
        "out_hidden_size": size.hidden,
        "num_position_embeddings": POSITIONS,
        "deepstack_visual_indexes": size.deepstack,
    }
    return getattr(transformers, "Qwen3VLMoeConfig" if moe else "Qwen3VLConfig")(
        text_config=text,
        vision_config=vision,
        image_token_id=tokenizer.ident("<|image_pad|>"),
        video_token_id=tokenizer.ident("<|video_pad|>"),
        vision_start_token_id=tokenizer.ident("<|vision_start|>"),
        vision_end_token_id=tokenizer.ident("<|vision_end|>"),
        tie_word_embeddings=not moe,
    )


def released(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration in the form of Qwen's repositories, where transformers 5.24 writes another.

    vLLM and older versions of transformers expect num_experts, and do not know the axial rope_type.
    """
    config = copy.deepcopy(config)
    text = config["text_config"]
    if "num_local_experts" in text:
        text["num_experts"] = text.pop("num_local_experts")
    config["vision_config"].pop("rope_parameters", None)
    return config


def generation(kind: str) -> dict[str, Any]:
    """generation_config.json of an "instruct" or "thinking" model."""
    end, stop = tokenizer.ident("<|endoftext|>"), tokenizer.ident("<|im_end|>")
    return {
        "bos_token_id": end,
        "do_sample": True,
        "eos_token_id": [stop, end],
        "pad_token_id": end,
        **SAMPLING[kind],
    }


def image_processor(most: int = MAX_IMAGE_TOKENS) -> dict[str, Any]:
    """preprocessor_config.json: from 1 token (32 x 32 pixels) to `most`."""
    return {
        **_processor(),
        "size": {"shortest_edge": 32 * 32, "longest_edge": most * 32 * 32},
        "image_processor_type": "Qwen2VLImageProcessorFast",
    }


def video_processor() -> dict[str, Any]:
    """video_preprocessor_config.json: sizes of all frames together; 2 frames per second."""
    return {
        **_processor(),
        "size": {"shortest_edge": 2 * 32 * 32, "longest_edge": 16 * 512 * 512},
        "video_processor_type": "Qwen3VLVideoProcessor",
        "do_sample_frames": True,
        "fps": 2,
        "min_frames": 4,
        "max_frames": 768,
    }


def _processor() -> dict[str, Any]:
    return {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "merge_size": MERGE,
        "patch_size": PATCH,
        "processor_class": "Qwen3VLProcessor",
        "rescale_factor": 1 / 255,
        "temporal_patch_size": FRAMES,
    }
