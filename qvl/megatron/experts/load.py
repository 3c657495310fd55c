"""How unevenly tokens are routed to experts: the experts of one layer work side by side, so a step waits for
the busiest.

Shapes: L layers, E experts.
"""

from typing import Any

import torch
import torch.distributed as dist

from qvl.megatron import parallel
from qvl.megatron.qwen3vl import LocalModel


class ExpertLoad:
    """Counts the tokens that each expert of this rank's layers gets while the model trains."""

    def __init__(self, model: LocalModel) -> None:
        shape = model.shape
        self._counts = torch.zeros(shape.layers, shape.num_experts, device=parallel.device())
        for chunk in model.chunks:
            layers: Any = chunk.language_model.decoder.layers
            for layer in layers:
                layer.mlp.router.register_forward_hook(self._hook(layer.layer_number - 1))

    def imbalance(self) -> float:
        """The tokens of the busiest expert over the mean, as a mean over the layers, since the last call:
        1 where all are as busy. Every rank calls."""
        counts = self._counts.clone()
        self._counts.zero_()
        dist.all_reduce(counts)
        return (counts.amax(1) / counts.mean(1)).mean().item()

    def _hook(self, layer: int) -> Any:
        def count(router: Any, inputs: Any, outputs: Any) -> None:
            if router.training:  # with recomputation twice, which is no matter to a ratio
                self._counts[layer] += outputs[1].detach().sum(0)

        return count
