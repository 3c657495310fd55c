"""A checkpoint's rules for prompts: its vocabulary, and what its images and videos become.

The engines expand prompts themselves, and accept wrong ones in silence. So pads, images and videos are
counted before a request is sent, and the ids that an engine reports are compared with our expansion.
"""

import functools
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qvl.engines.serving import launch
from qvl.engines.tokens import TokensPrompt
from qvl.errors import UserError
from qvl.media import images, pads, patches, video, video_patches
from qvl.media.references import brief
from qvl.pack.template import load_tokenizer

CACHE_SIZE = 1024  # images and videos whose tokens are cached, a few kB each: our choice


@dataclass(frozen=True)
class PromptRules:
    """What a checkpoint's folder says about tokens, images and videos."""

    folder: Path
    vocabulary: int
    image_token: int
    video_token: int
    patches: patches.ImageRules | None
    videos: video_patches.VideoRules | None
    never_sampled: tuple[int, ...]
    """tokens that a completion must not hold"""
    _cache: dict[tuple[int, bytes], list[int]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _cache_lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def load(cls, folder: Path) -> "PromptRules":
        """The rules of a checkpoint's folder. UserError if its config.json cannot be read."""
        try:
            config = json.loads((folder / "config.json").read_bytes())
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: cannot read its config.json: {error}") from None
        has_images = (folder / "preprocessor_config.json").exists()
        return cls(
            folder=folder,
            vocabulary=config["text_config"]["vocab_size"],
            image_token=config["image_token_id"],
            video_token=config["video_token_id"],
            patches=patches.load_rules(folder) if has_images else None,
            videos=video_patches.load_rules(folder) if video_patches.has_rules(folder) else None,
            never_sampled=tuple(launch.never_sampled(config)),
        )

    @property
    def pads(self) -> tuple[int, int]:
        """The tokens that stand for patches; their log-probabilities mean nothing."""
        return self.image_token, self.video_token

    def expand(self, prompt: TokensPrompt) -> list[int]:
        """The prompt's token ids as the model sees them, images and videos expanded.

        UserError for a prompt that an engine would misread or crash on.
        """
        ids = prompt.token_ids
        unknown = next((each for each in ids if not 0 <= each < self.vocabulary), None)
        if unknown is not None:
            raise UserError(f"token id {unknown}: the vocabulary has {self.vocabulary:,} tokens")
        media = (
            ("image", self.image_token, prompt.images, self._image),
            ("video", self.video_token, prompt.videos, self._video),
        )
        try:
            (expanded,) = pads.expand(
                [ids],
                *(
                    pads.PadItems(kind, pad, references, self._cached(pad, tokens))
                    for kind, pad, references, tokens in media
                ),
            )
        except pads.PadMismatch as error:
            raise UserError(
                f"{error}: a prompt holds one pad per image or video, not expanded ones"
            ) from None
        return expanded

    def _cached(self, token: int, expand: Callable[[str], list[int]]) -> Callable[[str], list[int]]:
        """`expand` with a cache: an image or a video of a group of samples is decoded once."""

        def tokens(reference: str) -> list[int]:
            key = token, hashlib.sha256(reference.encode()).digest()
            found = self._cache.get(key)
            if found is None:
                found = expand(reference)
                with self._cache_lock:
                    while len(self._cache) >= CACHE_SIZE:
                        del self._cache[next(iter(self._cache))]
                    self._cache[key] = found
            return found

        return tokens

    def _image(self, reference: str) -> list[int]:
        if self.patches is None:
            raise UserError("this checkpoint takes no images: no preprocessor_config.json")
        image = images.load(reference, Path())
        try:
            grid = self.patches.grid(*image.size)
        except ValueError as error:
            raise UserError(f"image {brief(reference)}: {error}") from None
        return [self.image_token] * self.patches.num_tokens(grid)

    def _video(self, reference: str) -> list[int]:
        if self.videos is None:
            raise UserError("this checkpoint takes no videos: no video_preprocessor_config.json")
        clip = video.read(reference, Path(), fit=video.unseen)
        try:
            marks = self.videos.marks(clip, self.videos.grid(len(clip.frames), *clip.size))
        except ValueError as error:
            raise UserError(f"video {brief(reference)}: {error}") from None
        return self._tokenizer.encode(marks, add_special_tokens=False).ids

    @functools.cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.folder)
