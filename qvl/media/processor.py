"""The settings of a checkpoint's image and video processors."""

import json
from pathlib import Path
from typing import Any, Literal

from qvl.errors import UserError

Kind = Literal["image", "video"]

OWN_FILE = {"image": "preprocessor_config.json", "video": "video_preprocessor_config.json"}
SHARED_FILE = "processor_config.json"  # transformers 5 nests the settings of both in it


def settings(model: Path, kind: Kind) -> dict[str, Any]:
    """The fields of an ImageRules, from a Hugging Face folder. UserError if they are missing."""
    config = _find(model, kind)
    if config is None:
        raise UserError(f"{model}: this checkpoint takes no {kind}s: no {OWN_FILE[kind]}")
    size = config.get("size") or {}
    try:
        return {
            "patch_size": config["patch_size"],
            "merge_size": config["merge_size"],
            "temporal_patch_size": config["temporal_patch_size"],
            "min_pixels": size.get("shortest_edge") or config["min_pixels"],
            "max_pixels": size.get("longest_edge") or config["max_pixels"],
            "mean": tuple(config["image_mean"]),
            "std": tuple(config["image_std"]),
        }
    except KeyError as error:
        raise UserError(f"{model}: its {kind} processor lacks {error}; is it a Qwen3-VL?") from None


def known(model: Path) -> dict[str, dict[str, Any]]:
    """The settings by kind, as far as a Hugging Face folder has them."""
    kinds: tuple[Kind, ...] = ("image", "video")
    return {kind: settings(model, kind) for kind in kinds if exists(model, kind)}


def exists(model: Path, kind: Kind) -> bool:
    """Whether a Hugging Face folder takes media of this kind."""
    return _find(model, kind) is not None


def _find(model: Path, kind: Kind) -> dict[str, Any] | None:
    own, shared = _read(model / OWN_FILE[kind]), _read(model / SHARED_FILE)
    nested = f"{kind}_processor"
    for config in (own.get(nested, own), shared.get(nested, {})):
        if "patch_size" in config:
            return config
    return None


def _read(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is no such file."""
    try:
        config = json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    return config if isinstance(config, dict) else {}
