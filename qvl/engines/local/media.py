"""The images and videos of one request as patches, within the tokens of a context.

What they take is known from their headers, and refused before a pixel is decoded: a request may hold a
thousand images.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from qvl.errors import UserError
from qvl.media import images, references, video
from qvl.media.errors import BrokenMedia
from qvl.media.patches import Grid, ImageRules
from qvl.media.video_patches import VideoRules
from qvl.recent import Recent

KNOWN_BYTES = 64 << 20  # of patches that are kept: our choice


class SeenImage(NamedTuple):
    """An image as the model takes it."""

    patches: torch.Tensor
    """(P, values)"""
    grid: Grid
    digest: bytes
    """equal for equal files"""


KnownImages = Recent[bytes, SeenImage]
"""By digest: the episodes of an agent send their images at every turn."""


def known_images(most_bytes: int = KNOWN_BYTES) -> KnownImages:
    return Recent(most_bytes, lambda image: image.patches.nbytes)


class RequestMedia:
    """Reads references by the rules of a checkpoint."""

    def __init__(
        self,
        image_rules: ImageRules | None,
        video_rules: VideoRules | None,
        root: Path | None,
        max_tokens: int,
        known: KnownImages | None = None,
    ) -> None:
        """root: of paths; None allows data: URIs only. max_tokens: of all media and the text together.
        known: of earlier requests."""
        self.image_rules, self.video_rules = image_rules, video_rules
        self.root, self.max_tokens = root, max_tokens
        self._known = known_images() if known is None else known
        self._tokens = 0  # of the media so far

    def images(self, given: Sequence[str]) -> list[SeenImage]:
        """UserError if one cannot be read."""
        if not given:
            return []
        rules = self.image_rules
        if rules is None:
            raise UserError("this checkpoint takes no images: no preprocessor_config.json")
        contents = []
        for reference in given:
            root = self._root("image", [reference])
            content = references.read(reference, root)
            size = images.peek(content, reference)
            self._take(rules.num_tokens(_grid("image", reference, rules.grid, *size)))
            contents.append(content)
        return [self._image(rules, *each) for each in zip(contents, given, strict=True)]

    def videos(self, given: Sequence[Any]) -> list[tuple[torch.Tensor, Grid, str]]:
        """The patches and the grid of each video, and the text that its pad becomes."""
        if not given:
            return []
        rules = self.video_rules
        if rules is None:
            raise UserError("this checkpoint takes no videos: no video_preprocessor_config.json")

        def fit(num_frames: int, width: int, height: int) -> Callable[[Any], Any]:
            self._take(rules.of_frames.num_tokens(rules.grid(num_frames, width, height)))
            return rules.fit(num_frames, width, height)

        found = []
        for reference in given:
            root = self._root("video", [reference] if isinstance(reference, str) else reference)
            clip = video.read(reference, root, fit=fit)
            patches, grid = rules.patches(clip)
            found.append((torch.from_numpy(patches), grid, rules.marks(clip, grid)))
        return found

    def check_length(self, length: int) -> None:
        """UserError for a prompt of more tokens than the context."""
        if length > self.max_tokens:
            raise UserError(
                f"the context length is {self.max_tokens} tokens; the prompt has {length}"
            )

    def _image(self, rules: ImageRules, content: bytes, reference: str) -> SeenImage:
        digest = hashlib.blake2b(content, digest_size=16).digest()
        found = self._known.get(digest)
        if found is None:
            picture = images.decode(content, reference)
            grid = _grid("image", reference, rules.grid, *picture.size)
            patches, _ = rules.patches(picture)
            found = SeenImage(torch.from_numpy(patches), grid, digest)
            self._known.keep(digest, found)
        return found

    def _take(self, tokens: int) -> None:
        self._tokens += tokens
        if self._tokens > self.max_tokens:
            raise BrokenMedia(
                f"the context length is {self.max_tokens} tokens; images and videos of the prompt "
                f"take {self._tokens} or more"
            )

    def _root(self, kind: str, given: Iterable[str]) -> Path:
        if self.root is not None:
            return self.root
        for each in given:
            if not references.is_data(each):
                raise UserError(
                    f"{kind} {references.brief(each)}: expected a data: URI; "
                    "files need qvl serve --media-root"
                )
        return Path()


def _grid(kind: str, reference: str, grid: Callable[..., Grid], *size: int) -> Grid:
    try:
        return grid(*size)
    except ValueError as error:
        raise BrokenMedia(f"{kind} {references.brief(reference)}: {error}") from None
