"""The local engine as a policy: it answers in vLLM's shapes, and loads weights beside the present ones."""

from pathlib import Path
from typing import ClassVar

from qvl.engines.vllm import policy


class Policy(policy.Policy):
    """See qvl.engines.local.control."""

    PAUSE: ClassVar = ("/pause", {})
    SLEEP: ClassVar = ("/sleep", {})
    BIAS: ClassVar = 0.0  # it never draws them

    def _load(self, folder: Path, version: str) -> None:
        body = {"model_path": str(folder.resolve()), "weight_version": version}
        self._order("/update_weights_from_disk", body)
