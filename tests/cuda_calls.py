"""Notes which calls ask torch for a GPU, from its import on: the first module of the ranks' server."""

from typing import Any

import torch

CALLS: list[str] = []


def _noted(name: str) -> Any:
    function = getattr(torch.cuda, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        CALLS.append(name)
        return function(*args, **kwargs)

    return call


for _name in ("is_available", "device_count", "init", "_lazy_init"):
    setattr(torch.cuda, _name, _noted(_name))
