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
        """Load the weights of a checkpoint's folder, what a CPU needs done by hand included.

        A load that fails midway leaves half a model, so the folder is looked at first. On a CPU,
        vLLM computes with packed copies of the weights, and forgets two kinds when it loads again.
        Experts are packed only while a layer has no kernel yet: unpacked ones would be read as
        packed, and answers be noise; without the kernel they are packed again. An output layer that
        is tied to the embedding has no weights in the checkpoint, so its copy would stay the old one.
        """
        if not any(Path(folder).glob("*.safetensors")):
            raise ValueError(f"{folder}: no *.safetensors in it")
        methods = [
            (module, module.quant_method)
            for module in self.model_runner.get_model().modules()
            if getattr(module, "quant_method", None) is not None
        ]
        cpu = self.device.type == "cpu"
        for _, method in methods:
            if cpu and hasattr(method, "moe_kernel"):
                method.moe_kernel = None
        self.reload_weights(weights_path=folder)
        for module, method in methods:
            if cpu and hasattr(method, "embedding"):
                method.process_weights_after_loading(module)
        return {"loaded": folder}
