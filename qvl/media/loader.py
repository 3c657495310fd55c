"""Load the patches of the images and videos of a packed line.

In a sequence a pair of video frames is like an image, and has a reference of its own, so a packed line
has one reference per run of pads. A clip is read once for all its pairs.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.media import images, patches, video, video_patches
from qvl.media.errors import MediaError
from qvl.media.patches import ImageRules
from qvl.media.video_patches import VideoRules

PAIR = "video-pair:"


def pair(reference: str | Sequence[str], index: int) -> str:
    """The reference of the pair number `index` of a video's frames."""
    return f"{PAIR}{index}:{json.dumps(reference, ensure_ascii=False)}"


@dataclass(frozen=True)
class Loader:
    """Reads the media of packed lines and divides them into patches; can be pickled."""

    images: ImageRules
    videos: VideoRules | None
    root: Path
    allow_remote: bool = False

    @property
    def in_bytes(self) -> bool:
        """Whether patches come as uint8 pixels, to be normalised where they are used; in float32 and
        normalised only where images and videos are normalised differently."""
        videos = self.videos
        own = self.images.mean, self.images.std
        return videos is None or (videos.of_frames.mean, videos.of_frames.std) == own

    def __call__(self, line: dict[str, Any]) -> dict[str, Any]:
        """The media of a line: reference -> ((patches, values per patch), grid); see `in_bytes`.

        MediaError, which names the records of the line, if one cannot be read.
        """
        try:
            return self._media(line)
        except (MediaError, ValueError) as error:
            records = ", ".join(map(repr, line["records"]))
            raise MediaError(f"{line['id']} (of {records}): {error}; pack again") from None

    def _media(self, line: dict[str, Any]) -> dict[str, Any]:
        found, clips = {}, defaultdict(list)
        for reference in set(line["images"]):
            if reference.startswith(PAIR):
                index, _, clip = reference.removeprefix(PAIR).partition(":")
                clips[clip].append((int(index), reference))
            else:
                found[reference] = self.image(reference)
        for clip, pairs in clips.items():
            values, grid = self._clip(json.loads(clip))
            size = grid[1] * grid[2]
            for index, reference in pairs:
                found[reference] = values[index * size : (index + 1) * size], (1, *grid[1:])
        return found

    def image(self, reference: str) -> Any:
        """The patches and grid of one image."""
        picture = images.load(reference, self.root, allow_remote=self.allow_remote)
        return self.images.pixels(picture) if self.in_bytes else self.images.patches(picture)

    def _clip(self, reference: str | list[str]) -> Any:
        if self.videos is None:
            raise UserError("this checkpoint takes no videos: no video_preprocessor_config.json")
        rules = self.videos
        clip = video.read(reference, self.root, allow_remote=self.allow_remote, fit=rules.fit)
        return rules.pixels(clip) if self.in_bytes else rules.patches(clip)


def loader(model: Path, root: Path, *, allow_remote: bool = False) -> Loader:
    """The loader of a Hugging Face folder. UserError if it takes no images."""
    rules = video_patches.load_rules(model) if video_patches.has_rules(model) else None
    return Loader(patches.load_rules(model), rules, root, allow_remote)
