"""Floating-point operations of a training step, from the shape alone.

A multiplication and an addition are two. What the model needs is counted, as PaLM (appendix B)
defines it, not what activation recomputation repeats. Attention counts the half of the scores that a
causal mask leaves, record by record; the head counts target tokens alone, because no other token's
logits are computed. Norms, rope and the like, well under 1 %, are left out.
"""

from collections.abc import Collection

from qvl.model.shape import Shape, VisionShape
from qvl.pack.packed import Size

# Forward, and backward twice: for the gradient of the input and for that of the weights.
PASSES = 3
BF16_TERAFLOPS = {  # dense, of one device, by its makers' data sheets; by a part of the name
    "H100": 989.0,
    "H200": 989.0,
    "H800": 989.0,
    "A100": 312.0,
    "A800": 312.0,
    "B200": 2250.0,
    "L40S": 362.0,
    "RTX 4090": 165.0,
}


def training(shape: Shape, size: Size, freeze: Collection[str] = ()) -> float:
    """Operations of one forward and backward pass over a pack. freeze: vision, merger, language."""
    # A frozen part still passes gradients on to the parts before it, if they are trained.
    before = PASSES if {"vision", "merger"} - set(freeze) else 1
    through = PASSES - 1 if before == PASSES else 1
    return (
        (through if "language" in freeze else PASSES) * language(shape, size)
        + (1 if "vision" in freeze else PASSES) * vision(shape.vision, size)
        + (PASSES - 1 if "merger" in freeze and before == PASSES else before)
        * mergers(shape.vision, size)
    )


def language(shape: Shape, size: Size) -> float:
    """Operations of the decoder and its head, forward."""
    return shape.layers * layer(shape, size) + head(shape, size)


def layer(shape: Shape, size: Size) -> float:
    """Operations of a layer of the decoder, forward."""
    width = shape.heads * shape.head_dim
    projections = shape.hidden * (2 * width + 2 * shape.kv_heads * shape.head_dim)
    if shape.num_experts:
        feed_forward = 3 * shape.experts_per_token * shape.hidden * shape.expert_ffn
        feed_forward += shape.hidden * shape.num_experts
    else:
        feed_forward = 3 * shape.hidden * shape.ffn
    return 2 * size.tokens * (projections + feed_forward) + 2 * width * size.squares


def head(shape: Shape, size: Size) -> float:
    """Operations of the head, forward."""
    return 2 * size.targets * shape.hidden * shape.vocab


def vision(shape: VisionShape, size: Size) -> float:
    """Operations of the vision tower, forward; each frame attends within itself."""
    embedding = shape.patch_values * shape.hidden
    layer = 4 * shape.hidden**2 + 2 * shape.hidden * shape.ffn
    attention = 4 * shape.hidden * size.patch_squares
    return 2 * size.patches * (embedding + shape.depth * layer) + shape.depth * attention


def mergers(shape: VisionShape, size: Size) -> float:
    """Operations of the merger and of DeepStack's, forward."""
    joined = shape.merge**2 * shape.hidden
    tokens = size.patches / shape.merge**2
    return 2 * tokens * joined * (joined + shape.out_hidden) * (1 + len(shape.deepstack_layers))


def peak_teraflops(device: str) -> float | None:
    """Of a device by its name, in bf16; None for one that the table does not have."""
    return next((peak for part, peak in BF16_TERAFLOPS.items() if part in device), None)


def peak_of_all(one: float | None, devices: int) -> float | None:
    """TFLOP/s of `devices` devices together. one: of one of them; None: of this machine's GPU, None
    again where it is not known."""
    import torch

    if one is None and torch.cuda.is_available():
        one = peak_teraflops(torch.cuda.get_device_name())
    return one * devices if one else None
