"""Real handwriting: the 1,797 digits of scikit-learn, 8 x 8 pixels each, enlarged."""

import functools
from random import Random
from typing import TYPE_CHECKING

from qvl.errors import need
from qvl.tiny.generators.drawing import COLOURS, PAPERS, paper
from qvl.tiny.generators.example import Example, Turn

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 64  # pixels: 2 x 2 tokens
FIRST_HELD_OUT = 1400  # the test split has the originals from here on
NUM_DIGITS = 1797


def digit(rng: Random, split: str) -> Example:
    """Which digit an image shows: an original, scaled, shifted and coloured."""
    test = split == "test"
    index = rng.randrange(FIRST_HELD_OUT if test else 0, NUM_DIGITS if test else FIRST_HELD_OUT)
    side = rng.randint(SIZE * 3 // 4, SIZE)
    left, top = rng.randint(0, SIZE - side), rng.randint(0, SIZE - side)
    ink, paper_index = rng.choice(list(COLOURS)), rng.randrange(len(PAPERS))
    answer = str(_digits()[index][1])
    return Example(
        ("digit", index, side, left, top, ink, paper_index),
        [Turn("Which digit is this?", answer, answer)],
        lambda: _write(index, side, left, top, ink, paper_index),
    )


def _write(index: int, side: int, left: int, top: int, ink: str, paper_index: int) -> "Image":
    pillow = need("PIL.Image")
    stroke = pillow.frombytes("L", (8, 8), _digits()[index][0])
    stroke = stroke.resize((side, side), pillow.Resampling.BICUBIC)
    image = paper(SIZE, paper_index)
    image.paste(COLOURS[ink], (left, top), stroke)
    return image


@functools.cache
def _digits() -> list[tuple[bytes, int]]:
    """The 64 grey values and the digit of each original."""
    data = need("sklearn.datasets", extra="tiny").load_digits()
    grey = (data.images * (255 / 16)).astype("uint8")
    return [(image.tobytes(), int(label)) for image, label in zip(grey, data.target, strict=True)]
