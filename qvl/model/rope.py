"""Interleaved multimodal rope: positions in time, height and width, and their angles.

Shapes: T tokens, D head dimension. The tokens of an image have one time, and heights and widths from
their grid; the next token continues after the longest of the three (arXiv 2511.21631, section 2).
"""

from collections.abc import Sequence

import numpy as np
import torch

from qvl.media.patches import Grid


def positions(
    seen: np.ndarray, lengths: Sequence[int], grids: Sequence[Grid], merge: int
) -> np.ndarray:
    """The positions of a pack's tokens, (3, T); each record of `lengths` starts at 0.

    seen: (T,), whether a token is of an image or a video. grids: of these, in the order of tokens.
    """
    out = np.empty((3, len(seen)), dtype=np.int64)
    left = iter(grids)
    start = 0
    for length in lengths:
        end = start + length
        own = seen[start:end]
        if not own.any():
            out[:, start:end] = np.arange(length)
        else:
            _with_images(out[:, start:end], own, left, merge)
        start = end
    return out


def _with_images(out: np.ndarray, seen: np.ndarray, grids, merge: int) -> None:
    """Fill in the positions of one record with images."""
    at, position, length = 0, 0, len(seen)
    while at < length:
        if not seen[at]:
            rest = seen[at:]
            end = at + int(rest.argmax()) if rest.any() else length
            out[:, at:end] = np.arange(position, position + end - at)
            position += end - at
        else:
            frames, rows, columns = next(grids)
            rows, columns = rows // merge, columns // merge
            end = at + frames * rows * columns
            time, height, width = np.indices((frames, rows, columns)).reshape(3, -1)
            out[:, at:end] = position + np.stack([time, height, width])
            position += max(frames, rows, columns)
        at = end


def angles(
    position_ids: torch.Tensor, head_dim: int, theta: float, section: Sequence[int]
) -> torch.Tensor:
    """(3, T) -> (T, D): frequencies 1, 4, 7, ... follow the height, 2, 5, 8, ... the width."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device=position_ids.device)
    inverse = 1.0 / theta ** (exponents / head_dim)  # (D/2,)
    every = position_ids.float()[..., None] * inverse  # (3, T, D/2)
    mixed = every[0].clone()
    for axis in (1, 2):
        own = slice(axis, section[axis] * 3, 3)
        mixed[:, own] = every[axis][:, own]
    return torch.cat([mixed, mixed], dim=-1)
