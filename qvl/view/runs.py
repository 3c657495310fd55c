"""What the settings of a run, rl.json, say of a file of its rollouts."""

from pathlib import Path
from typing import Any

import orjson

from qvl.rollout.run_folder import SETTINGS, run_of


def model_of(path: str) -> Path | None:
    """The folder of the model whose run wrote a file of rollouts."""
    settings = _settings(path)
    if settings is None:
        return None
    run = run_of(path)
    found = [run, Path(settings.get("model") or run)]
    return next((each for each in found if (each / "tokenizer.json").is_file()), None)


def media_root_of(path: str) -> Path | None:
    """The base folder of the media of the queries; None for a file of no run, or where it is gone."""
    settings = _settings(path)
    root = settings and settings.get("media_root")
    return Path(root) if isinstance(root, str) and Path(root).is_dir() else None


def _settings(path: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads((run_of(path) / SETTINGS).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None
