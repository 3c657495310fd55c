"""How a model is divided among ranks: --layout, and what the shape of a model allows."""

import math
from dataclasses import dataclass
from typing import Any

from qvl.errors import UserError
from qvl.model import flops
from qvl.model.shape import Shape
from qvl.pack.packed import Size

# The pack by which the stages of a pipeline are weighed, our choice: 32K tokens in records of 4K, half of
# them of images of 1K tokens, or 4K patches, and half of the others targets.
TYPICAL = Size(
    tokens=32_768,
    squares=32_768 * 4_096,
    targets=8_192,
    patches=16_384 * 4,
    patch_squares=16_384 * 4 * 4_096,
)
WORDS = {"tp": "tensor", "pp": "pipeline", "vp": "virtual", "cp": "context", "ep": "expert"}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The sizes of the parallel groups. The remaining factor of the world is data parallel."""

    tensor: int = 1
    pipeline: int = 1
    virtual: int = 1
    """Virtual stages per pipeline rank, interleaved with the other ranks' (interleaved 1F1B, arXiv
    2104.04473, section 2.2): less idle time, more messages."""
    context: int = 1
    expert: int = 1
    """Experts are divided among ranks that are otherwise data, context or tensor parallel."""
    sequence: bool = True
    """With tensor parallelism, also divide the tokens where each rank would have all of them."""

    @property
    def ranks_per_model(self) -> int:
        return self.tensor * self.pipeline * self.context

    @property
    def fewest_ranks(self) -> int:
        """The smallest world size for this layout."""
        return self.pipeline * math.lcm(self.tensor * self.context, self.expert)

    @property
    def sequence_parallel(self) -> bool:
        return self.sequence and self.tensor > 1

    def idle(self, micro_batches: int) -> float:
        """The share of a step that a pipeline rank waits, if all stages take as long: its bubble (arXiv
        2104.04473, section 2.2)."""
        waits = self.pipeline - 1
        return waits / (micro_batches * self.virtual + waits)

    def stages(self, shape: Shape) -> list[int]:
        """The number of layers of each pipeline stage; rank r has the stages r, r + pp, ...

        All stages take about as long for a typical pack, counted in operations: the first also has the
        vision tower, the last the head, which of a large vocabulary costs as much as layers do. The first
        has at least the layers that DeepStack feeds, the last may have only norm and head.
        """
        count = self.pipeline * self.virtual
        if count == 1:
            return [shape.layers]
        deep = min(shape.layers, len(shape.vision.deepstack_layers))
        counts = [deep, *[1] * (count - 2), 0]
        if sum(counts) > shape.layers:  # which `check` refuses
            counts = [deep, *(1 if at < shape.layers - deep else 0 for at in range(count - 1))]
        layer = flops.layer(shape, TYPICAL)
        tower = flops.vision(shape.vision, TYPICAL) + flops.mergers(shape.vision, TYPICAL)
        costs = [number * layer for number in counts]
        costs[0] += tower
        costs[-1] += flops.head(shape, TYPICAL)
        for _ in range(shape.layers - sum(counts)):
            least = min(range(count), key=costs.__getitem__)
            counts[least] += 1
            costs[least] += layer
        return counts

    def check(self, shape: Shape, ranks: int) -> None:
        """UserError if a model of this shape cannot be divided among `ranks` like this."""
        reason = self._refusal(shape, ranks)
        if reason:
            raise UserError(f"--layout: {reason}")

    def _refusal(self, shape: Shape, ranks: int) -> str | None:
        sizes = {"kv heads": shape.kv_heads, "heads": shape.heads, "vocabulary": shape.vocab}
        if not shape.num_experts:
            sizes["feed-forward width"] = shape.ffn
        for name, size in sizes.items():
            if size % self.tensor:
                return f"tp={self.tensor} does not divide the model's {name}, {size}"
        if self.virtual > 1 and self.pipeline == 1:
            return f"vp={self.virtual} divides the stages of a pipeline, but pp is 1"
        if 0 in self.stages(shape)[:-1]:
            return (
                f"{self.pipeline * self.virtual} stages are too many for the model's {shape.layers} "
                "layers: one in the middle would be empty, because the first needs DeepStack's layers"
            )
        if self.expert > 1 and not shape.num_experts:
            return f"ep={self.expert}, but the model has no experts"
        if shape.num_experts % self.expert:
            return f"ep={self.expert} does not divide the model's experts, {shape.num_experts}"
        if shape.num_experts and self.tensor > 1 and not self.sequence:
            return "sp=0, but experts under tensor parallelism need it"
        if ranks % self.ranks_per_model:
            return f"{ranks} processes do not divide into models of {self.ranks_per_model}"
        if ranks // self.pipeline % self.expert:
            return f"ep={self.expert} does not divide the {ranks // self.pipeline} ranks of a stage"
        return None


def parse_layout(text: str) -> Layout:
    """Parse "tp=2,pp=2,vp=2,cp=2,ep=2,sp=0", in any order; the default of each is 1. UserError."""
    fields: dict[str, Any] = {}
    for word in text.split(",") if text else []:
        name, _, number = word.strip().partition("=")
        if name == "sp" and number in ("0", "1"):
            fields["sequence"] = number == "1"
        elif name in WORDS and number.isdecimal() and int(number) > 0:
            fields[WORDS[name]] = int(number)
        else:
            raise UserError(
                f"--layout {text}: {word!r} is not tp=, pp=, vp=, cp= or ep= with a number"
            )
    return Layout(**fields)
