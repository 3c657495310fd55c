"""Prompts as the model takes them: alone, and several padded to one width.

Shapes: B prompts, T tokens of one, W of the longest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import torch

from qvl.media.patches import Grid

FORWARD_TOKENS = 16_384  # per forward pass over prompts, padding included: limits its memory

Item = TypeVar("Item")


class PromptImage(NamedTuple):
    """An image of a prompt."""

    patches: torch.Tensor
    """(P, 3 * 2 * 16 * 16), shared by all prompts with the image"""
    grid: Grid
    digest: bytes
    """equal for equal files"""
    end: int
    """the token after it"""


@dataclass(frozen=True)
class PreparedPrompt:
    """A prompt of T tokens with the model's other inputs."""

    ids: list[int]
    positions: torch.Tensor  # (3, T) rows of time, height and width
    next_position: int  # of the first token of the completion
    images: tuple[PromptImage, ...]
    video_pixels: torch.Tensor | None  # (patches, 3 * 2 * 16 * 16)
    video_grids: torch.Tensor | None  # (videos, 3) in patches
    key: bytes  # equal for equal prompts, whose prefill is shared

    def rest(self, first: int) -> "PreparedPrompt":
        """The tokens from `first` on, of a prompt without videos, with the images after it."""
        return replace(
            self,
            ids=self.ids[first:],
            positions=self.positions[:, first:],
            images=tuple(image for image in self.images if image.end > first),
        )


def parts(items: Sequence[Item], length: Callable[[Item], int]) -> Iterator[list[Item]]:
    """What has prompts of these lengths, in order of length, in parts of at most FORWARD_TOKENS."""
    part: list[Item] = []
    for item in sorted(items, key=length):
        if part and (len(part) + 1) * length(item) > FORWARD_TOKENS:
            yield part
            part = []
        part.append(item)
    if part:
        yield part


def padded(
    prompts: Sequence[PreparedPrompt], device: torch.device, *, left: bool
) -> dict[str, Any]:
    """The model's inputs: input_ids (B, W), position_ids (3, B, W), and images and videos in the
    prompts' order.

    left: pad there, which needs a mask; on the right no token of a causal model sees the padding.
    """
    width = max(len(prompt.ids) for prompt in prompts)
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    positions = torch.zeros(3, len(prompts), width, dtype=torch.long)
    for i, prompt in enumerate(prompts):
        begin = width - len(prompt.ids) if left else 0
        ids[i, begin : begin + len(prompt.ids)] = torch.tensor(prompt.ids)
        positions[:, i, begin : begin + len(prompt.ids)] = prompt.positions
    seen = {
        "pixel_values": [image.patches for prompt in prompts for image in prompt.images],
        "image_grid_thw": [
            torch.tensor([image.grid]) for prompt in prompts for image in prompt.images
        ],
        "pixel_values_videos": [prompt.video_pixels for prompt in prompts],
        "video_grid_thw": [prompt.video_grids for prompt in prompts],
    }
    inputs = {"input_ids": ids.to(device), "position_ids": positions.to(device)}
    for name, tensors in seen.items():
        given = [tensor for tensor in tensors if tensor is not None]
        if given:
            inputs[name] = torch.cat(given).to(device)
    return inputs
