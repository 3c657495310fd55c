"""Load the patches of the images and videos of a packed line.

In a sequence a pair of video frames is like an image, and has a reference of its own, so a packed line
has one reference per run of pads. A clip is read once for all its pairs.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qvl.errors import UserError
from qvl.media import images, patches, video, video_patches
from qvl.media.errors import LostMedia, MediaError
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

        LostMedia if one cannot be read.
        """
        found, clips = {}, defaultdict(list)
        for reference in dict.fromkeys(line["images"]):
            if reference.startswith(PAIR):
                index, _, clip = reference.removeprefix(PAIR).partition(":")
                clips[clip].append((int(index), reference))
            else:
                with _lost(reference):
                    found[reference] = self.image(reference)
        for clip, pairs in clips.items():
            with _lost(pairs[0][1]):
                values, grid = self._clip(json.loads(clip))
            size = grid[1] * grid[2]
            for index, reference in pairs:
                found[reference] = values[index * size : (index + 1) * size], (1, *grid[1:])
        return found

    def lazily(self, line: dict[str, Any]) -> Callable[[str], Any]:
        """What loads a medium of a line by its reference; all are read when the first one is needed."""
        found: dict[str, Any] = {}

        def load(reference: str) -> Any:
            if not found:
                found.update(self(line))
            return found[reference]

        return load

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


@contextmanager
def _lost(reference: str) -> Iterator[None]:
    try:
        yield
    except (MediaError, ValueError) as error:
        raise LostMedia(reference, str(error)) from None


def loader(model: Path, root: Path, *, allow_remote: bool = False) -> Loader:
    """The loader of a Hugging Face folder. UserError if it takes no images."""
    rules = video_patches.load_rules(model) if video_patches.has_rules(model) else None
    return Loader(patches.load_rules(model), rules, root, allow_remote)
