"""What the launches of vLLM and SGLang share: options, the checkpoint's sizes, environment variables."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from qvl.engines.serving.environments import INJECT, Environment
from qvl.errors import UserError

DEFAULT_MODEL_LEN = 8192  # tokens of prompt and completion, if the model has as many: our choice
DTYPES = ("auto", "float32", "bfloat16", "float64")
CPU_CACHE_TOKENS = 65536  # of the KV cache on a CPU: our choice
HIDDEN = ("QVL_API_KEY", "OPENAI_API_KEY", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """How vLLM or SGLang serves."""

    host: str
    port: int
    name: str
    """the model's name in requests"""
    max_batch: int
    """requests decoded together"""
    max_model_len: int | None = None
    """tokens of prompt and completion; None is 8,192 or the checkpoint's own limit, if lower"""
    dtype: str = "auto"
    """one of DTYPES, of weights and arithmetic; auto is fp32 on a CPU, the checkpoint's own on a GPU"""
    media_root: Path | None = None
    """requests may name files below it as file:// addresses"""
    key: str | None = None
    """that a request's Authorization must hold"""
    extra: tuple[str, ...] = ()
    """flags of the engine, passed after ours; the last one counts"""


@dataclass(frozen=True)
class Launch:
    """A process to start."""

    command: list[str]
    variables: dict[str, str]
    """its complete environment"""
    grace_seconds: float
    """between SIGTERM and SIGKILL of its process group"""


def check_folder(model: Path) -> dict[str, Any]:
    """The checkpoint's config.json. UserError if the folder is not a checkpoint."""
    path = model / "config.json"
    try:
        config = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{model}: not a checkpoint: config.json not found") from None
    except (OSError, orjson.JSONDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: not a JSON object")
    for pattern, what in (("*.safetensors", "weights"), ("tokenizer*", "tokenizer")):
        if not any(model.glob(pattern)):
            raise UserError(f"{model}: not a checkpoint: {pattern} ({what}) not found")
    return config


def model_len(config: dict[str, Any], wanted: int | None) -> int:
    """The maximum number of tokens of prompt and completion. UserError if the checkpoint has fewer."""
    limit = text_config(config).get("max_position_embeddings", DEFAULT_MODEL_LEN)
    if wanted is not None and wanted > limit:
        raise UserError(f"--max-model-len {wanted}: the checkpoint's limit is {limit}")
    return wanted or min(DEFAULT_MODEL_LEN, limit)


def never_sampled(config: dict[str, Any]) -> list[int]:
    """The tokens of images and videos in a config.json.

    A completion with one of them could not be part of a prompt, in an engine or in training.
    """
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return [config[name] for name in names if name in config]


def dtype_flags(options: LaunchOptions, device: str) -> list[str]:
    """The --dtype of vLLM and SGLang. UserError for a type that their kernels do not support."""
    if options.dtype == "float64":
        raise UserError("--dtype float64: not supported by vLLM and SGLang; use --backend local")
    dtype = "float32" if options.dtype == "auto" and device == "cpu" else options.dtype
    return [] if dtype == "auto" else ["--dtype", dtype]


def cache_tokens(length: int, max_batch: int) -> int:
    """The tokens of the KV cache on a CPU: at least those of one request."""
    return max(length, min(length * max_batch, CPU_CACHE_TOKENS))


def cache_bytes(config: dict[str, Any], tokens: int) -> int:
    """The bytes of a KV cache of `tokens` in fp32."""
    text = text_config(config)
    heads = text["num_attention_heads"]
    head_dim = text.get("head_dim") or text["hidden_size"] // heads
    kv_heads = text.get("num_key_value_heads") or heads
    return tokens * text["num_hidden_layers"] * 2 * kv_heads * head_dim * 4


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a config.json about the language model."""
    return config.get("text_config", config)


def variables(environment: Environment, options: LaunchOptions, **own: str) -> dict[str, str]:
    """The environment of an engine's process: ours with its programs first on PATH, and `own`.

    A variable of `own` that the user has set keeps the user's value.
    """
    kept = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    paths = [str(INJECT), *filter(None, [kept.get("PYTHONPATH")])]
    programs = [str(environment.python.parent), *filter(None, [kept.get("PATH")])]
    return {
        **own,
        **kept,
        "PATH": os.pathsep.join(programs),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "QVL_ENGINE_KEY": options.key or "",
        "QVL_MEDIA_ROOT": str(options.media_root.resolve()) if options.media_root else "",
        "QVL_ENGINE_PARENT": str(os.getpid()),
    }
