"""The shape of a Qwen3-VL, from the `config.json` of its Hugging Face folder."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.media import processor

MODELS = ("qwen3_vl", "qwen3_vl_moe")
VISION_ROPE_THETA = 10_000.0  # of the two-dimensional rope, not in config.json


@dataclass(frozen=True, kw_only=True)
class VisionShape:
    """The vision tower and its mergers."""

    depth: int
    hidden: int
    ffn: int
    heads: int
    channels: int
    patch: int
    temporal_patch: int
    merge: int
    out_hidden: int
    num_positions: int
    deepstack_layers: tuple[int, ...]
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    """Of the channels of a pixel, from 0 to 1, and so the deviation: patches are normalised by them."""
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    @property
    def patch_values(self) -> int:
        return self.channels * self.temporal_patch * self.patch**2


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The language model, the vision tower, and the ids of image and video tokens."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    eps: float
    rope_theta: float
    mrope_section: tuple[int, int, int]
    max_positions: int
    tied: bool
    num_experts: int
    """0 for a dense model."""
    experts_per_token: int
    expert_ffn: int
    moe_aux_loss: float
    """Coefficient of the experts' load-balancing loss that the checkpoint names."""
    image_id: int
    video_id: int
    vision: VisionShape


def existing(model: Path) -> Path:
    """The folder itself; UserError if there is none, which says how to download it."""
    if model.exists():
        return model
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(model)):
        hint = f"hf download {model} --local-dir {model.name}"
        raise UserError(f"{model}: no such folder; if it is a name on the hub, first: {hint}")
    raise UserError(f"{model}: no such folder")


def load_shape(model: Path) -> Shape:
    """The shape of a Hugging Face folder. UserError if it is not a Qwen3-VL."""
    path = existing(model) / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected a Hugging Face folder") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if config.get("model_type") not in MODELS:
        raise UserError(
            f"{path}: model_type {config.get('model_type')!r} is not supported; expected {MODELS[0]}"
        )
    try:
        shape = _shape(config)
        if processor.exists(model, "image"):
            rules = processor.settings(model, "image")
            normal = replace(shape.vision, mean=rules["mean"], std=rules["std"])
            shape = replace(shape, vision=normal)
        return shape
    except KeyError as error:
        raise UserError(f"{path}: {error} is missing") from None


def _shape(config: dict[str, Any]) -> Shape:
    text, vision = config["text_config"], config["vision_config"]
    # transformers 5 has rope_parameters in place of rope_scaling and rope_theta of 4.57.
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    if rope.get("rope_type", "default") not in ("default", "mrope"):
        raise UserError(f"rope_type {rope['rope_type']!r} is not supported")
    return Shape(
        hidden=text["hidden_size"],
        layers=text["num_hidden_layers"],
        heads=text["num_attention_heads"],
        kv_heads=text["num_key_value_heads"],
        head_dim=text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"],
        ffn=text["intermediate_size"],
        vocab=text["vocab_size"],
        eps=text["rms_norm_eps"],
        rope_theta=float(rope.get("rope_theta") or text["rope_theta"]),
        mrope_section=tuple(rope["mrope_section"]),
        max_positions=text["max_position_embeddings"],
        tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
        # transformers 5.24 renamed num_experts.
        num_experts=text.get("num_experts") or text.get("num_local_experts") or 0,
        experts_per_token=text.get("num_experts_per_tok", 0) or 0,
        expert_ffn=text.get("moe_intermediate_size", 0) or 0,
        moe_aux_loss=text.get("router_aux_loss_coef", 0.0) or 0.0,
        image_id=config["image_token_id"],
        video_id=config["video_token_id"],
        vision=VisionShape(
            depth=vision["depth"],
            hidden=vision["hidden_size"],
            ffn=vision["intermediate_size"],
            heads=vision["num_heads"],
            channels=vision.get("in_channels", 3),
            patch=vision["patch_size"],
            temporal_patch=vision["temporal_patch_size"],
            merge=vision["spatial_merge_size"],
            out_hidden=vision["out_hidden_size"],
            num_positions=vision["num_position_embeddings"],
            deepstack_layers=tuple(vision["deepstack_visual_indexes"]),
        ),
    )
