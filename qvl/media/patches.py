"""An image as patches, as Qwen3-VL's processor computes them.

A patch is `patch_size` pixels square, and `merge_size` x `merge_size` patches become one token. An
image is repeated for `temporal_patch_size` frames. A grid is (frames, rows, columns) of patches.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qvl.errors import need
from qvl.media import processor

if TYPE_CHECKING:
    from numpy import ndarray
    from PIL.Image import Image

MAX_ASPECT_RATIO = 200  # qwen-vl-utils 0.0.14 and transformers refuse more

Grid = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class ImageRules:
    """The settings of a checkpoint's image processor, and the patches that follow from them."""

    patch_size: int
    merge_size: int
    temporal_patch_size: int
    min_pixels: int
    max_pixels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def grid(self, width: int, height: int) -> Grid:
        """The grid of an image of this size, after resizing. ValueError if it is too thin."""
        factor = self.patch_size * self.merge_size
        rows, columns = smart_resize(height, width, factor, self.min_pixels, self.max_pixels)
        return 1, rows // self.patch_size, columns // self.patch_size

    def num_tokens(self, grid: Grid) -> int:
        """The tokens of an image or a video."""
        frames, rows, columns = grid
        return frames * rows * columns // self.merge_size**2

    def patches(self, image: "Image") -> tuple["ndarray", Grid]:
        """(rows * columns, 3 * temporal * patch * patch) float32 in merge-block order, normalised, and
        the grid."""
        pixels, grid = self.pixels(image)
        return self.normalised(pixels), grid

    def normalised(self, pixels: "ndarray") -> "ndarray":
        """The patches of uint8 pixels, in float32."""
        numpy = need("numpy")
        mean, std = (numpy.float32(each)[:, None] for each in (self.mean, self.std))
        channels = pixels.reshape(len(pixels), len(self.mean), -1).astype(numpy.float32) / 255
        return ((channels - mean) / std).reshape(len(pixels), -1)

    def pixels(self, image: "Image") -> tuple["ndarray", Grid]:
        """The same patches before they are normalised, in uint8: a quarter of the memory."""
        numpy = need("numpy")
        frames, rows, columns = grid = self.grid(*image.size)
        size, merge = self.patch_size, self.merge_size
        wanted = (columns * size, rows * size)
        if image.size != wanted:
            image = image.resize(wanted, _bicubic())
        pixels = numpy.asarray(image)  # (H, W, 3)
        blocks = pixels.transpose(2, 0, 1).reshape(
            3, rows // merge, merge, size, columns // merge, merge, size
        )
        blocks = blocks.transpose(1, 4, 2, 5, 0, 3, 6)  # (R/m, C/m, m, m, 3, p, p)
        flat = blocks.reshape(frames * rows * columns, 3, 1, size * size)
        still = numpy.repeat(flat, self.temporal_patch_size, axis=2)
        return still.reshape(rows * columns, -1), grid


def load_rules(model: Path) -> ImageRules:
    """The image rules of a Hugging Face folder. UserError if it takes no images."""
    return ImageRules(**processor.settings(model, "image"))


def smart_resize(
    height: float,
    width: float,
    factor: int,
    min_pixels: int,
    max_pixels: int,
    *,
    frames: int = 1,
    padded_frames: int = 1,
) -> tuple[int, int]:
    """(height, width) in multiples of `factor`, within the pixel limits, with the aspect ratio kept.

    The rule of transformers and qwen-vl-utils; a side of 0, which needs min_pixels of 0, becomes one
    factor. The limits hold for all `frames` of a video together: transformers compares them with
    the pixels of `padded_frames`, but scales by those of `frames`. ValueError if it is too thin.
    """
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise ValueError(f"{width:g}x{height:g}: thinner than 1:{MAX_ASPECT_RATIO}")
    rows, columns = round(height / factor) * factor, round(width / factor) * factor
    pixels = padded_frames * rows * columns  # 0 for a side up to half a factor: it is stretched
    if pixels > max_pixels:
        shrink = math.sqrt(frames * height * width / max_pixels)
        rows = max(factor, math.floor(height / shrink / factor) * factor)
        columns = max(factor, math.floor(width / shrink / factor) * factor)
    elif pixels < min_pixels:
        stretch = math.sqrt(min_pixels / (frames * height * width))
        rows = math.ceil(height * stretch / factor) * factor
        columns = math.ceil(width * stretch / factor) * factor
    return max(factor, rows), max(factor, columns)


def _bicubic() -> Any:
    return need("PIL.Image").Resampling.BICUBIC
