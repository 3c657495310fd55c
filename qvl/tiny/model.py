"""Tiny Qwen3-VL checkpoints: transformers' own classes, few parameters, random weights.

What the engines demand of the files, and their sizes have to meet: head_dim of 32 (vLLM on a CPU
takes 32, 48, 64 and 128), mrope_section summing to half of it, three deepstack levels and at least
as many layers, experts that are not square, in the order of Qwen's own repositories.
"""

import json
import math
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from qvl.errors import UserError, need
from qvl.imports import gc_frozen
from qvl.tiny import tokenizer

HEAD_DIM = 32
PADDED_VOCABULARY = 512
NUM_EXPERTS, EXPERTS_PER_TOKEN = 8, 2
ROPE_THETA = 5_000_000  # Qwen3-VL's
PATCH, MERGE, FRAMES = 16, 2, 2  # Qwen3-VL's
POSITIONS = 64  # 8 x 8 learnt positions, interpolated to the image's grid
# Without it a small model learns to see several times slower: the absolute position of a patch is
# all that tells the language model where something is.
POSITION_STD = 0.5
EMBEDDING_STD = 0.05
HEAD_STD = 0.02


@dataclass(frozen=True, kw_only=True)
class Size:
    """The widths and depths of the two towers; heads have 32 dimensions in both."""

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
        return self.hidden * 3 // 4  # a square expert would hide a transposed one

    @property
    def deepstack(self) -> list[int]:
        return [0, self.vision_depth // 2, self.vision_depth - 1]


SIZES = {  # parameters of the dense ones: 0.48, 1.11, 2.65 and 4.81 million
    "xxs": Size(
        hidden=96, layers=3, heads=3, kv_heads=1, ffn=192,
        vision_hidden=32, vision_depth=3, vision_ffn=64,
    ),
    "xs": Size(
        hidden=128, layers=3, heads=4, kv_heads=2, ffn=256,
        vision_hidden=64, vision_depth=3, vision_ffn=128,
    ),
    "s": Size(
        hidden=192, layers=4, heads=6, kv_heads=2, ffn=384,
        vision_hidden=96, vision_depth=3, vision_ffn=192,
    ),
    "m": Size(
        hidden=256, layers=4, heads=8, kv_heads=4, ffn=512,
        vision_hidden=128, vision_depth=4, vision_ffn=256,
    ),
}  # fmt: skip

# Of the model cards and the README of Qwen3-VL.
SAMPLING = {
    "instruct": {"temperature": 0.7, "top_p": 0.8, "top_k": 20},
    "thinking": {"temperature": 0.6, "top_p": 0.95, "top_k": 20},
}


def write(
    folder: Path, size: str, *, moe: bool, thinking: bool, seed: int, layers: int | None = None
) -> int:
    """Write the Hugging Face folder; the number of parameters. layers: of the language model, None
    for as many as the size has; UserError for fewer than DeepStack feeds."""
    kind = "thinking" if thinking else "instruct"
    wanted = SIZES[size]
    if layers is not None:
        wanted = replace(wanted, layers=layers)
        if layers < len(wanted.deepstack):
            raise UserError(f"--layers {layers}: DeepStack feeds {len(wanted.deepstack)} layers")
    model = build(wanted, moe=moe, seed=seed)
    model.save_pretrained(folder)
    _release_config(folder / "config.json")
    if moe:
        _release_layout(folder / "model.safetensors")
    tokenizer.write(folder)
    _write_json(folder / "generation_config.json", _generation(kind))
    _write_json(folder / "preprocessor_config.json", image_processor())
    _write_json(folder / "video_preprocessor_config.json", video_processor())
    (folder / "chat_template.jinja").write_text(template(kind))
    # safetensors leaves it to its owner alone.
    (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)
    return sum(weight.numel() for weight in model.parameters())


def template(kind: str) -> str:
    """The chat template, "instruct" or "thinking"."""
    return (files("qvl.tiny") / "templates" / f"{kind}.jinja").read_text()


def build(size: Size, *, moe: bool, seed: int) -> Any:
    """The model in memory, float32, its weights drawn by `seed`."""
    name = "Qwen3VLMoeForConditionalGeneration" if moe else "Qwen3VLForConditionalGeneration"
    with gc_frozen():
        torch, transformers = need("torch", extra="tiny"), need("transformers", extra="train")
        form = getattr(transformers, name)
    transformers.logging.disable_progress_bar()
    model = form._from_config(_config(transformers, size, moe), dtype=torch.float32)
    _initialise(model, size, torch.Generator().manual_seed(seed))
    return model


def _config(transformers: Any, size: Size, moe: bool) -> Any:
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
        "tie_word_embeddings": not moe,  # as the small dense ones and the MoE ones of Qwen
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


def _initialise(model: Any, size: Size, generator: Any) -> None:
    """Deviation 1/sqrt(fan in), what is added to the residual stream less by sqrt(2 layers).

    transformers' own 0.02 takes four times as long to read digits.
    """
    torch = need("torch", extra="tiny")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:
                weight.normal_(0, _deviation(name, weight, size), generator=generator)


def _deviation(name: str, weight: Any, size: Size) -> float:
    if "embed_tokens" in name:
        return EMBEDDING_STD
    if "lm_head" in name:
        return HEAD_STD
    if "pos_embed" in name:
        return POSITION_STD
    # Experts are stacked (E, out, in); the patch embedding is (out, channels, frames, h, w).
    fan_in = weight.shape[-1] if ".experts." in name else weight[0].numel()
    layers = 0
    if name.endswith(("o_proj.weight", "down_proj.weight", "experts.down_proj")):
        layers = size.layers
    elif "visual.blocks" in name and name.endswith(("proj.weight", "linear_fc2.weight")):
        layers = size.vision_depth
    return 1 / math.sqrt(fan_in * max(1, 2 * layers))


def _release_config(path: Path) -> None:
    """Say it in the words of Qwen's repositories where transformers 5.24 has newer ones.

    vLLM and older releases of transformers look for num_experts, and know no axial rope_type.
    """
    config = json.loads(path.read_bytes())
    text = config["text_config"]
    if "num_local_experts" in text:
        text["num_experts"] = text.pop("num_local_experts")
    config["vision_config"].pop("rope_parameters", None)
    _write_json(path, config)


def _release_layout(path: Path) -> None:
    """Store experts as Qwen's repositories do, [expert, in, out].

    vLLM and SGLang read nothing else; transformers turns them at load, but saves a model that was
    built from a configuration as it lies in memory, [expert, out, in].
    """
    torch_files = need("safetensors.torch", extra="tiny")
    weights = {
        name: weight.transpose(1, 2).contiguous() if ".experts." in name else weight
        for name, weight in torch_files.load_file(path).items()
    }
    torch_files.save_file(weights, path, metadata={"format": "pt"})


def _generation(kind: str) -> dict[str, Any]:
    end, stop = tokenizer.ident("<|endoftext|>"), tokenizer.ident("<|im_end|>")
    return {
        "bos_token_id": end,
        "do_sample": True,
        "eos_token_id": [stop, end],
        "pad_token_id": end,
        **SAMPLING[kind],
    }


def image_processor() -> dict[str, Any]:
    """preprocessor_config.json: from 1 token (32 x 32 pixels) to 256."""
    return {
        **_processor(),
        "size": {"shortest_edge": 32 * 32, "longest_edge": 512 * 512},
        "image_processor_type": "Qwen2VLImageProcessorFast",
    }


def video_processor() -> dict[str, Any]:
    """video_preprocessor_config.json: sizes are of all frames together; 2 frames a second."""
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


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
