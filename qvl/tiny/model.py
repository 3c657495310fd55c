"""Tiny Qwen3-VL checkpoints: transformers' own classes, few parameters, random weights."""

import json
import math
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from qvl.errors import UserError, need
from qvl.imports import gc_frozen
from qvl.tiny import config, tokenizer
from qvl.tiny.config import ModelSize

# A smaller one makes a small model learn to see several times slower: the language model locates
# objects by the absolute positions of patches alone.
POSITION_STD = 0.5
EMBEDDING_STD = 0.05
HEAD_STD = 0.02


def write(
    folder: Path,
    size: str,
    *,
    moe: bool,
    thinking: bool,
    seed: int,
    layers: int | None = None,
    image_tokens: int = config.MAX_IMAGE_TOKENS,
) -> int:
    """Write a Hugging Face folder; return the number of parameters.

    image_tokens: the most that an image is resized to. layers: of the language model; None for those of the size. UserError if DeepStack needs more.
    """
    kind = "thinking" if thinking else "instruct"
    wanted = config.SIZES[size]
    if layers is not None:
        wanted = replace(wanted, layers=layers)
        if layers < len(wanted.deepstack):
            raise UserError(f"--layers {layers}: DeepStack needs at least {len(wanted.deepstack)}")
    model = build(wanted, moe=moe, seed=seed)
    model.save_pretrained(folder)
    saved = json.loads((folder / "config.json").read_bytes())
    _write_json(folder / "config.json", config.released(saved))
    if moe:
        _release_layout(folder / "model.safetensors")
    tokenizer.write(folder)
    _write_json(folder / "generation_config.json", config.generation(kind))
    _write_json(folder / "preprocessor_config.json", config.image_processor(image_tokens))
    _write_json(folder / "video_preprocessor_config.json", config.video_processor())
    (folder / "chat_template.jinja").write_text(template(kind))
    # safetensors makes the file readable for its owner only.
    (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)
    return sum(weight.numel() for weight in model.parameters())


def template(kind: str) -> str:
    """The chat template, "instruct" or "thinking"."""
    return (files("qvl.tiny") / "templates" / f"{kind}.jinja").read_text()


def build(size: ModelSize, *, moe: bool, seed: int) -> Any:
    """The model in memory, in float32, with random weights of `seed`."""
    name = "Qwen3VLMoeForConditionalGeneration" if moe else "Qwen3VLForConditionalGeneration"
    with gc_frozen():
        torch, transformers = need("torch", extra="tiny"), need("transformers", extra="train")
        form = getattr(transformers, name)
    transformers.logging.disable_progress_bar()
    model = form._from_config(config.architecture(transformers, size, moe), dtype=torch.float32)
    _initialise(model, size, torch.Generator().manual_seed(seed))
    return model


def _initialise(model: Any, size: ModelSize, generator: Any) -> None:
    """Draw weights of deviation 1/sqrt(fan_in), divided by sqrt(2 layers) before the residual stream.

    With transformers' deviation of 0.02, learning to read digits takes four times as long.
    """
    torch = need("torch", extra="tiny")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:
                weight.normal_(0, _deviation(name, weight, size), generator=generator)


def _deviation(name: str, weight: Any, size: ModelSize) -> float:
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


def _release_layout(path: Path) -> None:
    """Store experts as Qwen's repositories do, [expert, in, out].

    vLLM and SGLang read only this. transformers transposes them when it loads, but saves a model that
    was built from a configuration as it is in memory, [expert, out, in].
    """
    torch_files = need("safetensors.torch", extra="tiny")
    weights = {
        name: weight.transpose(1, 2).contiguous() if ".experts." in name else weight
        for name, weight in torch_files.load_file(path).items()
    }
    torch_files.save_file(weights, path, metadata={"format": "pt"})


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
