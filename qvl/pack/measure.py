"""The tokens of a record as a model sees it: all, of images, and of videos."""

from pathlib import Path
from typing import Any, NamedTuple

from qvl.media import images, references
from qvl.media.errors import BrokenMedia
from qvl.media.loader import PAIR
from qvl.media.patches import Grid
from qvl.pack.render import Renderer
from qvl.stage import Drop

MERGE = 4  # patches of a token: merge_size 2 of every released Qwen3-VL


class Tokens(NamedTuple):
    total: int
    image: int
    video: int


class Measure(Renderer):
    """A Renderer that reads the headers of images only, as nothing is trained on what it renders."""

    def _grid(self, reference: str) -> Grid:
        content = references.read(reference, self.media_root, allow_remote=self.allow_remote)
        try:
            return self.rules.grid(*images.peek(content, reference))
        except ValueError as error:
            raise BrokenMedia(f"image {references.brief(reference)}: {error}") from None

    def tokens(self, record: dict[str, Any]) -> Tokens | Drop:
        """The tokens of a record's conversation, or why it cannot be rendered. MediaError."""
        sample = self.all_targets(record)
        if isinstance(sample, Drop):
            return sample
        ids = list(sample.ids)
        return Tokens(len(ids), ids.count(self.image_pad), ids.count(self.video_pad))


def measure(model: Path, root: Path, *, allow_remote: bool = False) -> Measure:
    """The Measure of a Hugging Face folder."""
    return Measure(model, media_root=root, allow_remote=allow_remote)


def of_pack(line: dict[str, Any]) -> Tokens:
    """The tokens of a packed line; needs no tokenizer."""
    image = video = 0
    for reference, grid in zip(line.get("images") or (), line.get("grids") or (), strict=False):
        count = grid[0] * grid[1] * grid[2] // MERGE
        if str(reference).startswith(PAIR):
            video += count
        else:
            image += count
    return Tokens(len(line["input_ids"]), image, video)
