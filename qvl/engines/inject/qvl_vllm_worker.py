"""Methods that vLLM's workers have beside their own: --worker-extension-cls qvl_vllm_worker.Extension.

They are called by name through POST /collective_rpc; what they take and return is JSON.
"""

from pathlib import Path
from typing import Any


class Extension:
    """Mixed into the worker class, whose attributes these are."""

    device: Any
    model_runner: Any
    reload_weights: Any

    def qvl_reload(self, folder: str) -> dict:
        """Load the weights of a checkpoint's folder, MoE on a CPU included.

        A load that fails midway leaves half a model, so the folder is looked at first. On a CPU,
        vLLM packs expert weights for its kernel only while a layer has no kernel yet: a second load
        would leave them unpacked where packed ones are read, and answer with noise. Without the
        kernel it packs them again.
        """
        if not any(Path(folder).glob("*.safetensors")):
            raise ValueError(f"{folder}: no *.safetensors in it")
        if self.device.type == "cpu":
            for module in self.model_runner.get_model().modules():
                method = getattr(module, "quant_method", None)
                if method is not None and hasattr(method, "moe_kernel"):
                    method.moe_kernel = None
        self.reload_weights(weights_path=folder)
        return {"loaded": folder}
