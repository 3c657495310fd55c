"""What a task makes: questions and answers over one image or none, on one side of the split."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL.Image import Image

HELD_OUT = 10  # one key in ten belongs to the test split


class Turn(NamedTuple):
    """A question, the reference that a verifier expects, and how the answer is said."""

    question: str
    answer: Any
    content: str
    reasoning: str = ""


@dataclass(frozen=True)
class Sample:
    """One image with its questions, or one question.

    `key` tells all that was drawn at random: equal keys are equal samples. `draw` makes the image,
    so that samples which are not kept cost nothing.
    """

    key: tuple
    turns: list[Turn]
    draw: "Callable[[], Image] | None" = None


def held_out(key: tuple) -> bool:
    """Whether a key belongs to the test split: its own doing, so no two seeds ever share a key."""
    return int.from_bytes(digest(key)[:4]) % HELD_OUT == 0


def digest(key: tuple) -> bytes:
    return hashlib.sha256(repr(key).encode()).digest()


def drawn(split: str, draw: Callable[[], tuple]) -> tuple:
    """The first key that `draw` gives of the split "train" or "test"."""
    while held_out(key := draw()) != (split == "test"):
        pass
    return key


def stream(*words: object) -> random.Random:
    """Random numbers that depend on the words alone, the same on every machine and release."""
    return random.Random("/".join(map(str, words)))
