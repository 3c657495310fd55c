"""Examples of the tasks: questions and answers about images or none, split by their content."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL.Image import Image

HELD_OUT = 10  # one key in ten belongs to the test split


class Look(NamedTuple):
    """A call of image_zoom_in_tool on the first image, and the crop that it returns."""

    label: str
    box: tuple[int, int, int, int]
    """In thousandths of the image's sides."""
    draw: "Callable[[], Image]"


class Turn(NamedTuple):
    """A question, the reference answer for a verifier, and the response with its reasoning and calls."""

    question: str
    answer: Any
    content: str
    """Empty where the conversation ends with the last call."""
    reasoning: str = ""
    looks: tuple[Look, ...] = ()
    parts: tuple[tuple[str, bool], ...] = ()
    """The content in parts, each with whether it is learned; none: all of it is."""
    draw: "Callable[[], Image] | None" = None
    """Makes an image that this turn brings, besides that of the example."""


@dataclass(frozen=True)
class Example:
    """One image with its questions, one question, or a conversation whose turns bring their images.

    `key` is all that was drawn at random: equal keys are equal examples. `draw` makes the image, on
    demand, so that discarded examples cost nothing.
    """

    key: tuple
    turns: list[Turn]
    draw: "Callable[[], Image] | None" = None
    fields: dict[str, Any] = field(default_factory=dict)
    """Further fields of the record."""
    tested: int = 0
    """The turn that a test asks, after all those before it."""


def held_out(key: tuple) -> bool:
    """Whether a key is in the test split. It depends on the key alone, so no seed mixes the splits."""
    return int.from_bytes(digest(key)[:4]) % HELD_OUT == 0


def digest(key: tuple) -> bytes:
    """The SHA-256 of a key, the same on every machine."""
    return hashlib.sha256(repr(key).encode()).digest()


def drawn(split: str, draw: Callable[[], tuple]) -> tuple:
    """The first key from `draw` in the split, "train" or "test"."""
    while held_out(key := draw()) != (split == "test"):
        pass
    return key


def stream(*words: object) -> random.Random:
    """Random numbers that depend only on the words, on any machine and release."""
    return random.Random("/".join(map(str, words)))
