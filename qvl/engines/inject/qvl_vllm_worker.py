"""Methods added to vLLM's workers: --worker-extension-cls qvl_vllm_worker.Extension.

POST /collective_rpc calls them by name; arguments and results are JSON.
"""

from pathlib import Path
from typing import Any


class Extension:
    """A mixin of the worker class, which has these attributes."""

    device: Any
    model_runner: Any
    reload_weights: Any

    def qvl_reload(self, folder: str) -> dict:
        """Load the weights of a checkpoint's folder, with two steps that vLLM omits on a CPU.

        A load that fails midway leaves half a model, so the folder is checked first. On a CPU vLLM
        computes with packed copies of the weights, and does not renew two kinds on a reload. Experts are
        packed only while a layer has no kernel: with one, unpacked weights would be read as packed, and
        the output be noise; so the kernel is removed. An output layer that is tied to the embedding has
        no weights in the checkpoint, so its copy would keep the previous ones; it is packed again.
        """
        if not any(Path(folder).glob("*.safetensors")):
            raise ValueError(f"{folder}: *.safetensors not found")
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
