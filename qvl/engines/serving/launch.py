"""What the launch of vLLM and SGLang have in common: options, the checkpoint's sizes, the environment."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from qvl.engines.serving.environments import INJECT, Environment
from qvl.errors import UserError

DEFAULT_MODEL_LEN = 8192  # tokens of prompt and answer, where the model has as many: our choice
DTYPES = ("auto", "float32", "bfloat16", "float64")
CPU_CACHE_TOKENS = 65536  # keys and values held on a CPU: our choice
HIDDEN = ("QVL_API_KEY", "OPENAI_API_KEY", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an engine serves."""

    host: str
    port: int
    name: str
    """the model's name in requests"""
    max_batch: int
    """requests decoded together"""
    max_model_len: int | None = None
    """tokens of prompt and answer; None is 8,192 or the checkpoint's own limit, if lower"""
    dtype: str = "auto"
    """one of DTYPES: of weights and arithmetic; auto is fp32 on a CPU, the checkpoint's own on a GPU"""
    media_root: Path | None = None
    """requests may name files below it as file:// addresses"""
    key: str | None = None
    """what a request's Authorization must hold"""
    extra: tuple[str, ...] = ()
    """flags for the engine, as they are, after ours: the last one counts"""


@dataclass(frozen=True)
class Launch:
    """A process to start."""

    command: list[str]
    variables: dict[str, str]
    """its whole environment"""
    grace_seconds: float
    """between SIGTERM and SIGKILL of its process group"""


def check_folder(model: Path) -> dict[str, Any]:
    """The checkpoint's config.json; UserError where the folder holds no checkpoint."""
    path = model / "config.json"
    try:
        config = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{model}: no checkpoint: there is no config.json in it") from None
    except (OSError, orjson.JSONDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: not a JSON object")
    for pattern, what in (("*.safetensors", "weights"), ("tokenizer*", "a tokenizer")):
        if not any(model.glob(pattern)):
            raise UserError(f"{model}: no checkpoint: there is no {pattern}, {what}, in it")
    return config


def model_len(config: dict[str, Any], wanted: int | None) -> int:
    """Tokens of prompt and answer that are served."""
    limit = text_config(config).get("max_position_embeddings", DEFAULT_MODEL_LEN)
    if wanted is not None and wanted > limit:
        raise UserError(f"--max-model-len {wanted}: the checkpoint ends at {limit}")
    return wanted or min(DEFAULT_MODEL_LEN, limit)


def never_sampled(config: dict[str, Any]) -> list[int]:
    """The tokens of images and videos that a config.json names: an answer that holds one could not
    be read again, by an engine or in training."""
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return [config[name] for name in names if name in config]


def dtype_flags(options: Options, device: str) -> list[str]:
    """UserError for a type that no kernels of theirs have."""
    if options.dtype == "float64":
        raise UserError("--dtype float64: vLLM and SGLang have none; --backend local has")
    dtype = "float32" if options.dtype == "auto" and device == "cpu" else options.dtype
    return [] if dtype == "auto" else ["--dtype", dtype]


def cache_tokens(length: int, max_batch: int) -> int:
    """Tokens whose keys and values are kept on a CPU: at least those of one request."""
    return max(length, min(length * max_batch, CPU_CACHE_TOKENS))


def cache_bytes(config: dict[str, Any], tokens: int) -> int:
    """Bytes of `tokens` keys and values in fp32."""
    text = text_config(config)
    heads = text["num_attention_heads"]
    head_dim = text.get("head_dim") or text["hidden_size"] // heads
    kv_heads = text.get("num_key_value_heads") or heads
    return tokens * text["num_hidden_layers"] * 2 * kv_heads * head_dim * 4


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    return config.get("text_config", config)


def variables(environment: Environment, options: Options, **own: str) -> dict[str, str]:
    """The environment of an engine's process: ours, its own programs first, qvl's shims, `own`.

    What a user has set of `own` stays as it is.
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
        "QVL_ENGINE_PARENT": str(os.getpid()),
    }
