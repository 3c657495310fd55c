"""The client of the local engine: vLLM's routes, and weights loaded beside the present ones."""

from pathlib import Path
from typing import ClassVar

from qvl.engines import weights
from qvl.engines.vllm.client import VllmClient


class LocalClient(VllmClient):
    """The routes are those of qvl.engines.local.control."""

    PAUSE: ClassVar = ("/pause", {})
    SLEEP: ClassVar = ("/sleep", {})
    BIAS: ClassVar = 0.0  # it never samples the tokens of images and videos

    def _load_weights(self, folder: Path, version: str) -> None:
        self._command(weights.UPDATE_ROUTE, weights.update_body(folder, version))
