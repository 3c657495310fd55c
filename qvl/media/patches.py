"""From an image's size to its patches, as Qwen3-VL's processor does it.

A patch is `patch_size` pixels square; `merge_size` x `merge_size` patches become one token; an image
stands still for `temporal_patch_size` frames. A grid is (frames, rows, columns) of patches.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qvl.errors import UserError, need

if TYPE_CHECKING:
    from numpy import ndarray
    from PIL.Image import Image

MAX_ASPECT_RATIO = 200  # qwen-vl-utils 0.0.14 and transformers refuse more

Grid = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class ImageRules:
    """What the checkpoint's processor does to an image."""

    patch_size: int
    merge_size: int
    temporal_patch_size: int
    min_pixels: int
    max_pixels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def grid(self, width: int, height: int) -> Grid:
        """The grid of patches of an image of this size, after resizing. ValueError if too thin."""
        factor = self.patch_size * self.merge_size
        rows, columns = smart_resize(height, width, factor, self.min_pixels, self.max_pixels)
        return 1, rows // self.patch_size, columns // self.patch_size

    def num_tokens(self, grid: Grid) -> int:
        frames, rows, columns = grid
        return frames * rows * columns // self.merge_size**2

    def patches(self, image: "Image") -> tuple["ndarray", Grid]:
        """(rows * columns, 3 * temporal * patch * patch) float32, in merge-block order; the grid."""
        numpy = need("numpy", extra="train")
        frames, rows, columns = grid = self.grid(*image.size)
        size, merge = self.patch_size, self.merge_size
        wanted = (columns * size, rows * size)
        if image.size != wanted:
            image = image.resize(wanted, _bicubic())
        pixels = numpy.asarray(image, dtype=numpy.float32) / 255  # (H, W, 3)
        pixels = (pixels - numpy.float32(self.mean)) / numpy.float32(self.std)
        blocks = pixels.transpose(2, 0, 1).reshape(
            3, rows // merge, merge, size, columns // merge, merge, size
        )
        blocks = blocks.transpose(1, 4, 2, 5, 0, 3, 6)  # (R/m, C/m, m, m, 3, p, p)
        flat = blocks.reshape(frames * rows * columns, 3, 1, size * size)
        still = numpy.repeat(flat, self.temporal_patch_size, axis=2)
        return still.reshape(rows * columns, -1), grid


def load_rules(model: Path) -> ImageRules:
    """The image rules of a Hugging Face folder. UserError where it has none."""
    config = _processor(model)
    size = config.get("size") or {}
    try:
        return ImageRules(
            patch_size=config["patch_size"],
            merge_size=config["merge_size"],
            temporal_patch_size=config["temporal_patch_size"],
            min_pixels=size.get("shortest_edge") or config["min_pixels"],
            max_pixels=size.get("longest_edge") or config["max_pixels"],
            mean=tuple(config["image_mean"]),
            std=tuple(config["image_std"]),
        )
    except KeyError as error:
        raise UserError(f"{model}: its image processor lacks {error}; is it a Qwen3-VL?") from None


def smart_resize(
    height: int, width: int, factor: int, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    """(height, width) in multiples of `factor`, between the pixel limits, the aspect kept.

    transformers' and qwen-vl-utils' rule; where the latter would return a side of 0, one factor.
    """
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise ValueError(f"{width}x{height}: thinner than 1:{MAX_ASPECT_RATIO}")
    rows = max(factor, round(height / factor) * factor)
    columns = max(factor, round(width / factor) * factor)
    if rows * columns > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        rows = max(factor, math.floor(height / shrink / factor) * factor)
        columns = max(factor, math.floor(width / shrink / factor) * factor)
    elif rows * columns < min_pixels:
        stretch = math.sqrt(min_pixels / (height * width))
        rows = math.ceil(height * stretch / factor) * factor
        columns = math.ceil(width * stretch / factor) * factor
    return rows, columns


def _processor(model: Path) -> dict[str, Any]:
    """The image processor's settings; transformers 5 nests them in processor_config.json."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = model / name
        if path.is_file():
            config = json.loads(path.read_bytes())
            config = config.get("image_processor", config)
            if "patch_size" in config:
                return config
    raise UserError(f"{model}: no preprocessor_config.json with a patch_size; is it a Qwen3-VL?")


def _bicubic() -> Any:
    return need("PIL.Image", extra="train").Resampling.BICUBIC
