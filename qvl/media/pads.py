"""Expand the pads of a tokenised prompt: the one token of an image or a video becomes all of them.

A chat template writes one <|image_pad|> per image and one <|video_pad|> per video. The model sees as
many image pads as the image has merged patches, and for a video the time and the pads of each pair of
frames.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class PadItems(NamedTuple):
    """The images or the videos of a prompt, in the order of their pads."""

    kind: str
    """"image" or "video", for errors."""
    pad: int
    """The token that stands for one of them."""
    items: Sequence[Any]
    tokens: Callable[[Any], Sequence[int]]
    """Returns the tokens of an item."""


class PadMismatch(ValueError):
    """A prompt does not hold one pad per image or video."""


def expand(pieces: Sequence[Sequence[int]], *media: PadItems) -> list[list[int]]:
    """The token ids of each piece of a prompt, with every pad replaced by the tokens of its item.

    PadMismatch if the pads and the items of a kind differ in number; this is checked before `tokens`
    is called, which may decode an image or a video.
    """
    for each in media:
        found = sum(piece.count(each.pad) for piece in pieces)
        if found != len(each.items):
            raise PadMismatch(f"{found} {each.kind} tokens for {len(each.items)} {each.kind}s")
    runs = {each.pad: map(each.tokens, each.items) for each in media if each.items}
    return [_expanded(piece, runs) for piece in pieces]


def _expanded(piece: Sequence[int], runs: dict[int, Any]) -> list[int]:
    if not any(pad in piece for pad in runs):
        return list(piece)
    ids: list[int] = []
    for token in piece:
        if token in runs:
            ids += next(runs[token])
        else:
            ids.append(token)
    return ids
