"""A video clip as patches and as text in a prompt, as Qwen3-VL's processor computes them.

Each pair of frames is one grid of patches. All pairs have the same size, which depends on the pixels
of the whole clip. In the prompt a pair follows its time: "<0.3 seconds><|vision_start|>...
<|vision_end|>". transformers 5, and with it the engines, puts this text between the <|vision_start|>
and <|vision_end|> of the template; transformers 4 replaced them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qvl.errors import need
from qvl.media import processor
from qvl.media.patches import Grid, ImageRules, smart_resize
from qvl.media.video import Clip

if TYPE_CHECKING:
    from numpy import ndarray

PAD = "<|video_pad|>"


@dataclass(frozen=True)
class VideoRules:
    """The settings of a checkpoint's video processor, and the patches that follow from them."""

    of_frames: ImageRules
    """The settings of a frame, but the pixel limits hold for all frames together."""

    def grid(self, num_frames: int, width: int, height: int) -> Grid:
        """The grid of a clip of this size, after resizing. ValueError if it is too thin or short."""
        rules = self.of_frames
        rows, columns = self._resized(num_frames, height, width)
        pairs = -(-num_frames // rules.temporal_patch_size)
        return pairs, rows // rules.patch_size, columns // rules.patch_size

    def marks(self, clip: Clip, grid: Grid) -> str:
        """The text that replaces the clip's <|video_pad|> in a prompt."""
        step = self.of_frames.temporal_patch_size
        times = clip.seconds + clip.seconds[-1:] * (-len(clip.seconds) % step)
        pads = PAD * self.of_frames.num_tokens((1, *grid[1:]))
        return "".join(
            f"<{(first + last) / 2:.1f} seconds><|vision_start|>{pads}<|vision_end|>"
            for first, last in zip(times[::step], times[step - 1 :: step], strict=True)
        )

    def fit(self, num_frames: int, width: int, height: int) -> "Callable[[ndarray], ndarray]":
        """The qvl.media.video.Fit to the size that the model sees. ValueError as for `grid`.

        torch resizes, with the same result as torchvision; Pillow's differs by one level in places.
        """
        torch = need("torch", extra="train")
        rules = self.of_frames
        _, rows, columns = self.grid(num_frames, width, height)
        wanted = (rows * rules.patch_size, columns * rules.patch_size)
        if wanted == (height, width):
            return lambda frame: frame

        def resized(frame: "ndarray") -> "ndarray":
            pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].contiguous()  # (1, 3, H, W)
            pixels = torch.nn.functional.interpolate(pixels, wanted, mode="bicubic", antialias=True)
            return pixels[0].permute(1, 2, 0).numpy()

        return resized

    def patches(self, clip: Clip) -> "tuple[ndarray, Grid]":
        """(pairs * rows * columns, 3 * temporal * patch * patch) float32, in merge-block order,
        normalised."""
        pixels, grid = self.pixels(clip)
        return self._normalised(pixels), grid

    def _normalised(self, pixels: "ndarray") -> "ndarray":
        """As transformers' processor of videos does it: by the mean and the deviation of bytes.

        That of images divides by 255 first, which rounds differently in the last digit.
        """
        numpy, rules = need("numpy"), self.of_frames
        mean, std = (255 * numpy.float32(each)[:, None] for each in (rules.mean, rules.std))
        channels = pixels.reshape(len(pixels), len(rules.mean), -1).astype(numpy.float32)
        return ((channels - mean) / std).reshape(len(pixels), -1)

    def pixels(self, clip: Clip) -> "tuple[ndarray, Grid]":
        """The same before it is normalised, in uint8."""
        numpy, torch = need("numpy"), need("torch", extra="train")
        rules = self.of_frames
        pairs, rows, columns = grid = self.grid(len(clip.frames), *clip.size)
        size, merge, temporal = rules.patch_size, rules.merge_size, rules.temporal_patch_size
        resize = self.fit(len(clip.frames), *clip.size)
        is_fitted = clip.frames.shape[1:3] == (rows * size, columns * size)
        found = numpy.empty((pairs, rows * columns, 3 * temporal * size * size), numpy.uint8)
        for pair in range(pairs):
            frames = list(clip.frames[pair * temporal : (pair + 1) * temporal])
            frames += frames[-1:] * (temporal - len(frames))
            seen = numpy.stack([each if is_fitted else resize(each) for each in frames])
            pixels = torch.from_numpy(seen).permute(0, 3, 1, 2)  # (t, 3, R * p, C * p)
            blocks = pixels.reshape(
                temporal, 3, rows // merge, merge, size, columns // merge, merge, size
            )
            blocks = blocks.permute(2, 5, 3, 6, 1, 0, 4, 7)  # (R/m, C/m, m, m, 3, t, p, p)
            found[pair] = blocks.reshape(rows * columns, -1).numpy()
        return found.reshape(pairs * rows * columns, -1), grid

    def _resized(self, num_frames: int, height: int, width: int) -> tuple[int, int]:
        """The (height, width) of the frames by transformers' rule, in multiples of a factor."""
        rules = self.of_frames
        factor, temporal = rules.patch_size * rules.merge_size, rules.temporal_patch_size
        if num_frames < temporal:
            raise ValueError(f"{num_frames} frames; at least {temporal} are needed")
        if min(height, width) < factor:
            scale = max(factor / height, factor / width)
            height, width = int(height * scale), int(width * scale)
        return smart_resize(
            height,
            width,
            factor,
            rules.min_pixels,
            rules.max_pixels,
            frames=num_frames,
            padded_frames=round(num_frames / temporal) * temporal,
        )


def load_rules(model: Path) -> VideoRules:
    """The video rules of a Hugging Face folder. UserError if it takes no videos."""
    return VideoRules(ImageRules(**processor.settings(model, "video")))


def has_rules(model: Path) -> bool:
    """Whether a Hugging Face folder takes videos."""
    return processor.exists(model, "video")
