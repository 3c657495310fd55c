"""Real photographs: those in the wheels of scikit-learn and scikit-image; nothing is downloaded.

An example is a crop of a photograph. Crops for the test come from a vertical band that no crop for
training touches.
"""

import functools
from random import Random
from typing import TYPE_CHECKING

from qvl.errors import need
from qvl.tiny.generators.example import Example, Turn

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 64  # pixels: 2 x 2 tokens
BAND = (0.6, 0.8)  # of the width, for the test

PHOTOGRAPHS = {  # content -> package, name in it, width, height
    "astronaut": ("skimage", "astronaut", 512, 512),
    "bricks": ("skimage", "brick", 512, 512),
    "cat": ("skimage", "chelsea", 451, 300),
    "coffee": ("skimage", "coffee", 600, 400),
    "coins": ("skimage", "coins", 384, 303),
    "eye": ("skimage", "retina", 1411, 1411),
    "flower": ("sklearn", "flower.jpg", 640, 427),
    "galaxies": ("skimage", "hubble_deep_field", 1000, 872),
    "grass": ("skimage", "grass", 512, 512),
    "gravel": ("skimage", "gravel", 512, 512),
    "moon": ("skimage", "moon", 512, 512),
    "rocket": ("skimage", "rocket", 640, 427),
    "temple": ("sklearn", "china.jpg", 640, 427),
    "tissue": ("skimage", "immunohistochemistry", 512, 512),
}


def photo(rng: Random, split: str) -> Example:
    """What a crop of a photograph shows."""
    name = rng.choice(list(PHOTOGRAPHS))
    _, _, width, height = PHOTOGRAPHS[name]
    first, last = round(BAND[0] * width), round(BAND[1] * width)
    side = rng.randint(min(height, last - first) * 3 // 5, min(height, last - first))
    if split == "test":
        left = rng.randint(first, last - side)
    else:
        lefts = [*range(first - side + 1), *range(last, width - side + 1)]
        left = rng.choice(lefts)
    top, mirrored = rng.randint(0, height - side), rng.random() < 0.5
    return Example(
        ("photo", name, left, top, side, mirrored),
        [Turn("What does the photograph show?", name, name)],
        lambda: _crop(name, left, top, side, mirrored),
    )


def _crop(name: str, left: int, top: int, side: int, mirrored: bool) -> "Image":
    pillow = need("PIL.Image")
    box = (left, top, left + side, top + side)
    image = _photograph(name).resize((SIZE, SIZE), pillow.Resampling.BILINEAR, box=box)
    return image.transpose(pillow.Transpose.FLIP_LEFT_RIGHT) if mirrored else image


@functools.cache
def _photograph(name: str) -> "Image":
    package, what, width, height = PHOTOGRAPHS[name]
    if package == "sklearn":
        pixels = need("sklearn.datasets", extra="tiny").load_sample_image(what)
    else:
        pixels = getattr(need("skimage.data", extra="tiny"), what)()
    image = need("PIL.Image").fromarray(pixels).convert("RGB")
    if image.size != (width, height):
        raise ValueError(f"{package}'s {what} is {image.size}, not {(width, height)}")
    return image
