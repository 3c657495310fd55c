"""From the references of a packed line to patches: images, and the pairs of frames of videos.

A pair of frames stands in a sequence as an image does, behind its time, and has a reference of its own,
so that a packed line has one reference for each run of pads. A clip is read once for all its pairs.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.media import images, patches, video, video_patches
from qvl.media.patches import ImageRules
from qvl.media.video_patches import VideoRules

PAIR = "video-pair:"


def pair(reference: str | Sequence[str], index: int) -> str:
    """The reference of one pair of frames of a video."""
    return f"{PAIR}{index}:{json.dumps(reference, ensure_ascii=False)}"


@dataclass(frozen=True)
class Loader:
    """Reads what a packed line refers to and cuts it into patches; can be pickled."""

    images: ImageRules
    videos: VideoRules | None
    root: Path
    allow_remote: bool = False

    def __call__(self, line: dict[str, Any]) -> dict[str, Any]:
        """Reference -> ((patches, values of a patch) float32, grid)."""
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
        picture = images.load(reference, self.root, allow_remote=self.allow_remote)
        return self.images.patches(picture)

    def _clip(self, reference: str | list[str]) -> Any:
        if self.videos is None:
            raise UserError("this checkpoint takes no videos: no video_preprocessor_config.json")
        clip = video.read(reference, self.root, allow_remote=self.allow_remote)
        return self.videos.patches(clip)


def loader(model: Path, root: Path, *, allow_remote: bool = False) -> Loader:
    """By the rules of a Hugging Face folder. UserError where it has none."""
    rules = video_patches.load_rules(model) if video_patches.has_rules(model) else None
    return Loader(patches.load_rules(model), rules, root, allow_remote)
