"""The local engine as a policy: it answers in vLLM's shapes, and loads weights beside the present ones."""

from pathlib import Path
from typing import ClassVar

from qvl.engines import weights
from qvl.engines.vllm import client


class Policy(client.Policy):
    """See qvl.engines.local.control."""

    PAUSE: ClassVar = ("/pause", {})
    SLEEP: ClassVar = ("/sleep", {})
    BIAS: ClassVar = 0.0  # it never draws them

    def _load(self, folder: Path, version: str) -> None:
        self._order(weights.UPDATE, weights.update_body(folder, version))
