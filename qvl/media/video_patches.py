"""From a clip to its patches and its marks in a prompt, as Qwen3-VL's processor makes them.

A pair of frames gives one grid of patches. All pairs have one size, which follows from the pixels of
the whole clip, and each stands behind its time: "<0.3 seconds><|vision_start|>...<|vision_end|>".
transformers from 5 on, and with it the engines, puts these between the <|vision_start|> and
<|vision_end|> that the template writes; before, they took the place of them.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qvl.errors import UserError, need
from qvl.media.patches import MAX_ASPECT_RATIO, Grid, ImageRules
from qvl.media.video import Clip

if TYPE_CHECKING:
    from numpy import ndarray

PAD = "<|video_pad|>"


@dataclass(frozen=True)
class VideoRules:
    """What the checkpoint's processor does to a clip; pixel limits are those of all its frames."""

    of_frames: ImageRules

    def grid(self, num_frames: int, width: int, height: int) -> Grid:
        """The grid of a clip of this size, after resizing. ValueError if too thin or too short."""
        rules = self.of_frames
        rows, columns = self._resized(num_frames, height, width)
        pairs = -(-num_frames // rules.temporal_patch_size)
        return pairs, rows // rules.patch_size, columns // rules.patch_size

    def marks(self, clip: Clip, grid: Grid) -> str:
        """What the clip's one <|video_pad|> becomes in a prompt."""
        step = self.of_frames.temporal_patch_size
        times = clip.seconds + clip.seconds[-1:] * (-len(clip.seconds) % step)
        pads = PAD * self.of_frames.num_tokens((1, *grid[1:]))
        return "".join(
            f"<{(first + last) / 2:.1f} seconds><|vision_start|>{pads}<|vision_end|>"
            for first, last in zip(times[::step], times[step - 1 :: step], strict=True)
        )

    def patches(self, clip: Clip) -> "tuple[ndarray, Grid]":
        """(pairs * rows * columns, 3 * temporal * patch * patch) float32, in merge-block order.

        Resized by torch as torchvision does it: Pillow's differ by one level in places.
        """
        numpy, torch = need("numpy", extra="train"), need("torch", extra="train")
        rules = self.of_frames
        num_frames, height, width, _ = clip.frames.shape
        pairs, rows, columns = grid = self.grid(num_frames, width, height)
        size, merge, temporal = rules.patch_size, rules.merge_size, rules.temporal_patch_size
        frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2)  # (T, 3, H, W)
        wanted = (rows * size, columns * size)
        if wanted != (height, width):
            frames = torch.nn.functional.interpolate(
                frames.contiguous(), wanted, mode="bicubic", antialias=True
            )
        frames = torch.cat([frames, frames[-1:].expand(-num_frames % temporal, -1, -1, -1)])
        mean, std = (255 * torch.tensor(each)[:, None, None] for each in (rules.mean, rules.std))
        blocks = ((frames.float() - mean) / std).reshape(
            pairs, temporal, 3, rows // merge, merge, size, columns // merge, merge, size
        )
        blocks = blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)  # (T/t, R/m, C/m, m, m, 3, t, p, p)
        return numpy.ascontiguousarray(blocks.reshape(pairs * rows * columns, -1).numpy()), grid

    def _resized(self, num_frames: int, height: int, width: int) -> tuple[int, int]:
        """transformers' rule for the (height, width) of frames, both in multiples of a factor."""
        rules = self.of_frames
        factor, temporal = rules.patch_size * rules.merge_size, rules.temporal_patch_size
        if num_frames < temporal:
            raise ValueError(f"{num_frames} frames; {temporal} are the fewest")
        if min(height, width) < factor:
            scale = max(factor / height, factor / width)
            height, width = int(height * scale), int(width * scale)
        if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
            raise ValueError(f"{width}x{height}: thinner than 1:{MAX_ASPECT_RATIO}")
        rows, columns = (round(side / factor) * factor for side in (height, width))
        pixels = round(num_frames / temporal) * temporal * rows * columns
        if pixels > rules.max_pixels:
            shrink = math.sqrt(num_frames * height * width / rules.max_pixels)
            rows = max(factor, math.floor(height / shrink / factor) * factor)
            columns = max(factor, math.floor(width / shrink / factor) * factor)
        elif pixels < rules.min_pixels:
            stretch = math.sqrt(rules.min_pixels / (num_frames * height * width))
            rows = math.ceil(height * stretch / factor) * factor
            columns = math.ceil(width * stretch / factor) * factor
        return rows, columns


def load_rules(model: Path) -> VideoRules:
    """The video rules of a Hugging Face folder. UserError where it has none."""
    config = _processor(model)
    size = config.get("size") or {}
    try:
        return VideoRules(
            ImageRules(
                patch_size=config["patch_size"],
                merge_size=config["merge_size"],
                temporal_patch_size=config["temporal_patch_size"],
                min_pixels=size["shortest_edge"],
                max_pixels=size["longest_edge"],
                mean=tuple(config["image_mean"]),
                std=tuple(config["image_std"]),
            )
        )
    except KeyError as error:
        raise UserError(f"{model}: its video processor lacks {error}; is it a Qwen3-VL?") from None


def has_rules(model: Path) -> bool:
    """Whether a Hugging Face folder takes videos."""
    return _found(model) is not None


def _processor(model: Path) -> dict[str, Any]:
    found = _found(model)
    if found is None:
        raise UserError(
            f"{model}: this checkpoint takes no videos: no video_preprocessor_config.json"
        )
    return found


def _found(model: Path) -> dict[str, Any] | None:
    """The video processor's settings; transformers 5 nests them in processor_config.json."""
    for name in ("video_preprocessor_config.json", "processor_config.json"):
        path = model / name
        if path.is_file():
            config = json.loads(path.read_bytes())
            config = config.get("video_processor", config)
            if "patch_size" in config:
                return config
    return None
