"""Qwen3-VL's vision tower, with Hugging Face's parameter names.

Shapes: N patches, D hidden, H heads, M tokens after merging (N / merge^2). With FlashAttention all images
attend in one call, whatever their grids; elsewhere consecutive images of the same grid do, so sort a batch's
images by their grid.
"""

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from qvl.media.patches import Grid
from qvl.model import kernels
from qvl.model.shape import VISION_ROPE_THETA, VisionShape

EPS = 1e-6  # of every layer norm of the tower
# Patches whose activations `recompute` holds at once: an image of 1,024 tokens. Our choice; the
# activations of an 8B model's tower take 1.0 MB per patch.
AT_ONCE = 4096
Run = tuple[int, int, int]  # images or frames, rows, columns of patches


class Mlp(nn.Module):
    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        self.linear_fc1 = nn.Linear(shape.hidden, shape.ffn)
        self.linear_fc2 = nn.Linear(shape.ffn, shape.hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_fc2(F.gelu(self.linear_fc1(x), approximate="tanh"))


class Attention(nn.Module):
    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.hidden, 3 * shape.hidden)
        self.proj = nn.Linear(shape.hidden, shape.hidden)

    def forward(self, x: Tensor, runs: Sequence[Run], rope: tuple[Tensor, Tensor]) -> Tensor:
        q, k, v = self.qkv(x).view(len(x), 3, self.heads, -1).unbind(1)  # (N, H, D/H)
        q, k = rotate(q, *rope), rotate(k, *rope)
        if kernels.has_varlen(q):
            scale = q.shape[-1] ** -0.5
            seen = kernels.attend_packed(
                q, k, v, _frames(runs, x.device), scale=scale, causal=False
            )
            return self.proj(seen.flatten(1))
        out = []
        for part, (images, rows, columns) in zip(
            _split(torch.stack([q, k, v]), runs), runs, strict=True
        ):
            size = (3, images, rows * columns, self.heads, -1)
            q, k, v = part.view(size).transpose(2, 3).unbind(0)  # (images, H, rows * columns, D/H)
            seen = F.scaled_dot_product_attention(q, k, v)
            out.append(seen.transpose(1, 2).reshape(images * rows * columns, -1))
        return self.proj(torch.cat(out) if len(out) > 1 else out[0])


class Block(nn.Module):
    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.hidden, eps=EPS)
        self.norm2 = nn.LayerNorm(shape.hidden, eps=EPS)
        self.attn = Attention(shape)
        self.mlp = Mlp(shape)

    def forward(self, x: Tensor, runs: Sequence[Run], rope: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attn(self.norm1(x), runs, rope)
        return x + self.mlp(self.norm2(x))


class Merger(nn.Module):
    """Merges merge^2 patches into one token of the language model."""

    def __init__(self, shape: VisionShape, *, norm_after: bool) -> None:
        super().__init__()
        self.width = shape.hidden * shape.merge**2
        self.norm_after = norm_after
        self.norm = nn.LayerNorm(self.width if norm_after else shape.hidden, eps=EPS)
        self.linear_fc1 = nn.Linear(self.width, self.width)
        self.linear_fc2 = nn.Linear(self.width, shape.out_hidden)

    def forward(self, x: Tensor) -> Tensor:
        merged = x.reshape(-1, self.width)  # (M, merge^2 * D): patches come in merge-block order
        normed = self.norm(merged) if self.norm_after else self.norm(x).view(-1, self.width)
        return self.linear_fc2(F.gelu(self.linear_fc1(normed)))


class PatchEmbed(nn.Module):
    """A convolution whose stride is its kernel, as a matrix product; the weight keeps five axes."""

    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        self.mean, self.std = shape.mean, shape.std
        kernel = (shape.temporal_patch, shape.patch, shape.patch)
        self.proj = nn.Conv3d(shape.channels, shape.hidden, kernel, stride=kernel)

    def forward(self, patches: Tensor) -> Tensor:
        """(N, patch values) normalised, or uint8 pixels -> (N, D)"""
        weight = self.proj.weight
        if patches.dtype == torch.uint8:
            patches = self._normalised(patches)
        return F.linear(patches.to(weight.dtype), weight.flatten(1), self.proj.bias)

    def _normalised(self, pixels: Tensor) -> Tensor:
        mean, std = (
            pixels.new_tensor(each, dtype=torch.float32)[:, None] for each in (self.mean, self.std)
        )
        channels = pixels.view(len(pixels), len(self.mean), -1).float().div_(255)
        return channels.sub_(mean).div_(std).flatten(1)


class VisionTower(nn.Module):
    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        self.shape = shape
        self.patch_embed = PatchEmbed(shape)
        self.pos_embed = nn.Embedding(shape.num_positions, shape.hidden)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.merger = Merger(shape, norm_after=False)
        self.deepstack_merger_list = nn.ModuleList(
            Merger(shape, norm_after=True) for _ in shape.deepstack_layers
        )

    def forward(self, patches: Tensor, grids: Sequence[Grid]) -> tuple[Tensor, Tensor]:
        """(N, patch values) -> tokens (M, out), and the tokens of DeepStack's L levels (L, M, out)."""
        runs = _runs(grids)
        x = self.patch_embed(patches) + self._positions(runs)
        rope = _rope(runs, self.shape, x.device)
        levels = dict(zip(self.shape.deepstack_layers, self.deepstack_merger_list, strict=True))
        deep = []
        for index, block in enumerate(self.blocks):
            x = block(x, runs, rope)
            if index in levels:
                deep.append(levels[index](x))
        return self.merger(x), torch.stack(deep)

    def _positions(self, runs: Sequence[Run]) -> Tensor:
        """The learned square of position embeddings, resized bilinearly to each grid: (N, D)."""
        side = int(self.shape.num_positions**0.5)
        out = []
        for images, rows, columns in runs:
            row, column = _coordinates(
                rows, columns, self.shape.merge, self.pos_embed.weight.device
            )
            corners, weights = _corners(row, rows, column, columns, side)  # (rows * columns, 4)
            vectors = (self.pos_embed(corners) * weights[..., None]).sum(1)
            out.append(vectors.to(self.pos_embed.weight.dtype).repeat(images, 1))
        return torch.cat(out)


def recompute(
    tower: VisionTower, patches: Tensor, grids: Sequence[Grid], at_once: int = AT_ONCE
) -> tuple[Tensor, Tensor]:
    """Apply `tower`, but store only its inputs and outputs for the backward pass.

    The activations are recomputed for groups of images of up to `at_once` patches (or for one image
    with more).
    """
    parts, first, start = [], 0, 0
    sizes = [frames * rows * columns for frames, rows, columns in grids]
    while first < len(grids):
        last, end = first + 1, start + sizes[first]
        while last < len(grids) and end + sizes[last] - start <= at_once:
            end += sizes[last]
            last += 1
        part: Any = checkpoint(
            tower,
            patches[start:end],
            grids[first:last],
            use_reentrant=False,
            preserve_rng_state=False,  # there is no dropout
        )
        parts.append(part)
        first, start = last, end
    tokens, deep = zip(*parts, strict=True)
    return torch.cat(tokens), torch.cat(deep, dim=1)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate the halves of the last axis in fp32: x (N, H, d), cosine and sine (N, 1, d)."""
    first, second = x.float().chunk(2, dim=-1)
    rotated = torch.cat([-second, first], dim=-1)
    return (x.float() * cosine + rotated * sine).to(x.dtype)


def _runs(grids: Sequence[Grid]) -> list[Run]:
    """Join consecutive images of one size. A frame attends alone, so frames count as images."""
    frames = [(rows, columns) for count, rows, columns in grids for _ in range(count)]
    return [(len(list(same)), *size) for size, same in itertools.groupby(frames)]


@lru_cache(maxsize=1)  # every layer asks for those of the same images
def _frames_of(runs: tuple[Run, ...], device: torch.device) -> kernels.Bounds:
    lengths = [rows * columns for images, rows, columns in runs for _ in range(images)]
    return kernels.Bounds.of(lengths, lengths, device)


def _frames(runs: Sequence[Run], device: torch.device) -> kernels.Bounds:
    """The bounds of the images and frames, each of which attends alone."""
    return _frames_of(tuple(runs), device)


def _split(x: Tensor, runs: Sequence[Run]) -> tuple[Tensor, ...]:
    return x.split([images * rows * columns for images, rows, columns in runs], dim=1)


def _coordinates(
    rows: int, columns: int, merge: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Row and column of each patch of a grid, in merge-block order: two (rows * columns,)."""
    row = torch.arange(rows, device=device)[:, None].expand(rows, columns)
    column = torch.arange(columns, device=device)[None].expand(rows, columns)
    blocks = (rows // merge, merge, columns // merge, merge)
    return tuple(axis.reshape(blocks).transpose(1, 2).flatten() for axis in (row, column))  # type: ignore[return-value]


def _rope(runs: Sequence[Run], shape: VisionShape, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each patch, (N, 1, d): a quarter of d follows each axis, twice."""
    quarter = shape.hidden // shape.heads // 4
    inverse = VISION_ROPE_THETA ** (-torch.arange(quarter, device=device).float() / quarter)
    out = []
    for images, rows, columns in runs:
        row, column = _coordinates(rows, columns, shape.merge, device)
        once = torch.cat([row[:, None] * inverse, column[:, None] * inverse], dim=-1)
        out.append(torch.cat([once, once], dim=-1).repeat(images, 1))
    angle = torch.cat(out)[:, None]
    return angle.cos(), angle.sin()


def _corners(
    row: Tensor, rows: int, column: Tensor, columns: int, side: int
) -> tuple[Tensor, Tensor]:
    """The four learned positions around each patch, and their weights; the corners are aligned."""

    def axis(at: Tensor, count: int) -> tuple[Tensor, Tensor]:
        exact = torch.linspace(0, side - 1, count, device=at.device)[at]
        low = exact.long()
        return torch.stack([low, (low + 1).clamp(max=side - 1)], -1), exact - low

    (low_high_rows, down), (low_high_columns, right) = axis(row, rows), axis(column, columns)
    indices = low_high_rows[:, :, None] * side + low_high_columns[:, None, :]
    vertical, horizontal = torch.stack([1 - down, down], -1), torch.stack([1 - right, right], -1)
    weights = vertical[:, :, None] * horizontal[:, None, :]
    return indices.flatten(1), weights.flatten(1)
