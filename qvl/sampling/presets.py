"""Sampling settings that the report evaluates with, by the kind of model.

Source: Qwen3-VL Technical Report, arXiv 2511.21631, its evaluation settings for text benchmarks.
It allows 81,920 tokens for AIME-25, HMMT-25 and LiveCodeBench v6: --max-tokens.
"""

from typing import Any

from qvl.errors import UserError

MAX_TOKENS = 32768

PRESETS: dict[str, dict[str, Any]] = {
    "instruct": {  # 235B-A22B, 32B, 30B-A3B
        "temperature": 0.7,
        "top_p": 0.8,
        "top_k": 20,
        "presence_penalty": 1.5,
        "max_tokens": MAX_TOKENS,
    },
    "instruct-small": {  # 8B, 4B, 2B
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 40,
        "presence_penalty": 2.0,
        "max_tokens": MAX_TOKENS,
    },
    "thinking": {  # the mixtures of experts
        "temperature": 0.6,
        "top_p": 0.95,
        "top_k": 20,
        "max_tokens": MAX_TOKENS,
    },
    "thinking-dense": {
        "temperature": 1.0,
        "top_p": 0.95,
        "top_k": 20,
        "presence_penalty": 1.5,
        "max_tokens": MAX_TOKENS,
    },
}


def thinks(name: str | None) -> bool:
    """Whether a preset is for models that begin with a thought."""
    return bool(name) and str(name).startswith("thinking")


def sampling(name: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """The preset's parameters, overridden by the given ones that are not None."""
    if name is not None and name not in PRESETS:
        raise UserError(f"--preset {name}: say one of {', '.join(PRESETS)}")
    chosen = {key: value for key, value in given.items() if value is not None}
    return {**PRESETS[name], **chosen} if name else chosen
