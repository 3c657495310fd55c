"""Peak bytes of a rank of `qvl sft --recompute`, estimated from shape, layout and length alone.

Shapes: T tokens of a pack, n = T / (cp tp) of a rank, L layers of its stages, h hidden, q = heads x head_dim,
k = kv heads x head_dim, f feed-forward width, d head_dim, C ranks of cp; e bytes per number, 2 in bf16. The
peak is in the backward pass, in the feed-forward part of a layer that is recomputed. There a step holds

    inputs    n (L + 1) h e m     of every layer, and of the last norm; m packs in flight under pp: as many as
              the rank and those after it
    layer     n (6 h + 5 q + 4 k + 5 d + 7 f) e
              6 h: both norms before and after their weight, the residual and its gradient; 5 q: queries as
              projected, normed and rotated, outputs record by record and joined; 4 k: keys and values as
              projected, values copied, keys normed; 5 d: tables of rope; 7 f: gate and other half, the gate's
              SiLU, the other half plus an offset of 0, and three gradients. Instead of 7 f a mixture of t
              experts per token, each of width g, has t (4 h + 6 g): tokens dispatched and sorted, outputs
              apart and joined, and intermediate values; 5 h under ep, whose ranks also receive them
    gathered  n 2 k C e           keys and values of the whole pack, on every rank of cp
              n 2 h tp e          under tp the hidden vectors of the other ranks' tokens, and their gradient

    embedding (T + 2 M) h e       instead of `layer`, where it is more: of one pack, whose M tokens of images come
              from the ranks of tp and cp, a level of DeepStack at a time

and per parameter its weight e, a gradient 4, and AdamW's mean and square, in bf16 with a master weight: 8
or 12, sharded over the ranks of data and context parallelism. tests/plan/test_memory.py counts the tensors
of a step. Communication buffers, workspaces of kernels and Python are left out.
"""

from dataclasses import dataclass

from qvl.model.layout import Layout
from qvl.model.shape import Shape, VisionShape

GRADIENT = 4  # fp32, whatever the weights are
STATE = {2: 12, 4: 8}  # by the bytes of a weight; an fp32 weight is its own master


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one rank."""

    weights: float
    gradients: float
    optimizer: float
    inputs: float
    layer: float
    gathered: float
    images: float
    """Of the packs in flight: this rank's share of the patches, in uint8, and of DeepStack's tokens."""

    @property
    def total(self) -> float:
        return sum(vars(self).values())


def recomputing(
    shape: Shape,
    layout: Layout,
    tokens: int,
    *,
    ranks: int,
    element: int = 2,
    image_tokens: int = 0,
) -> Memory:
    """The memory of the rank that needs the most; see above. image_tokens: how many of a pack's `tokens`
    are of images. The tower's activations, for a few images at a time, are freed before the peak."""
    each = (
        _of_rank(shape, layout, tokens, rank, ranks, element, image_tokens)
        for rank in range(layout.pipeline)
    )
    return max(each, key=lambda memory: memory.total)


def _of_rank(
    shape: Shape,
    layout: Layout,
    tokens: int,
    rank: int,
    ranks: int,
    element: int,
    image_tokens: int,
) -> Memory:
    """Of a rank at place `rank` of its pipeline."""
    sharers = layout.context * layout.tensor
    layers = sum(layout.stages(shape)[rank :: layout.pipeline])
    in_flight = layout.pipeline - rank
    image_tokens = 0 if rank else image_tokens  # the tower is in the first stage
    n = tokens / sharers
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    wide = 6 * shape.hidden + 5 * query + 4 * key + 5 * shape.head_dim
    if shape.num_experts:
        dealt = 4 if layout.expert == 1 else 5
        wide += shape.experts_per_token * (dealt * shape.hidden + 6 * shape.expert_ffn)
    else:
        wide += 7 * shape.ffn
    gathered = 2 * key * layout.context
    if layout.tensor > 1:
        gathered += 2 * shape.hidden * layout.tensor
    held, shared = _parameters(shape, layout, layers, rank, ranks // layout.pipeline)
    levels = len(shape.vision.deepstack_layers)
    patches = shape.vision.patch_values * shape.vision.merge**2
    whole = (tokens + 2 * image_tokens) * shape.hidden * element
    return Memory(
        weights=held * element,
        gradients=held * GRADIENT,
        optimizer=shared * STATE[element],
        inputs=n * (layers + 1) * shape.hidden * element * in_flight,
        layer=max(n * wide * element, whole if image_tokens else 0),
        gathered=n * gathered * element,
        images=image_tokens / sharers * (patches + levels * shape.hidden * element) * in_flight,
    )


def _parameters(
    shape: Shape, layout: Layout, layers: int, rank: int, ranks: int
) -> tuple[float, float]:
    """Parameters of a rank at place `rank` of its pipeline, which `ranks` ranks share: all of them, and
    those whose optimizer state it holds."""
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    dense = shape.hidden * (2 * query + 2 * key) / layout.tensor
    dense += 2 * shape.hidden + 2 * shape.head_dim  # norms
    experts = 0.0
    if shape.num_experts:
        dense += shape.hidden * shape.num_experts  # the router
        experts = layers * 3 * shape.hidden * shape.expert_ffn * shape.num_experts / layout.expert
    else:
        dense += 3 * shape.hidden * shape.ffn / layout.tensor
    first, last = rank == 0, rank == layout.pipeline - 1
    matrices = first + (last and not (first and shape.tied))  # the embedding, and the head
    whole = layers * dense + matrices * shape.vocab * shape.hidden / layout.tensor
    whole += vision_parameters(shape.vision) * first + shape.hidden * last
    return whole + experts, whole * layout.tensor / ranks + experts * layout.expert / ranks


def vision_parameters(shape: VisionShape) -> int:
    """Parameters of the tower and its mergers, with biases and norms."""
    width = shape.hidden
    block = 4 * width**2 + 4 * width + 2 * width * shape.ffn + shape.ffn + width + 4 * width
    joined = shape.merge**2 * width
    merger = joined**2 + joined + joined * shape.out_hidden + shape.out_hidden
    deep = len(shape.deepstack_layers)
    ends = (shape.patch_values + 1 + shape.num_positions) * width
    return ends + shape.depth * block + (1 + deep) * merger + 2 * width + deep * 2 * joined
