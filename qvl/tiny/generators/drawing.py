"""Draw the synthetic images: shapes on paper."""

import math
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

from qvl.errors import need

Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels, inclusive

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 210, 50),
    "purple": (150, 60, 180),
    "black": (20, 20, 20),
}
SHAPES = ["circle", "square", "triangle", "star", "cross"]
# Mid-grey is near zero after Qwen's normalisation (mean and std 0.5). White adds a large constant to
# every patch, with which a small model learns to see many times slower.
PAPERS = [(128, 128, 128), (138, 132, 124), (120, 130, 138), (134, 124, 130)]


def paper(size: int, index: int) -> "Image":
    """A square sheet of paper of `size` pixels."""
    return need("PIL.Image").new("RGB", (size, size), PAPERS[index])


def pen(image: "Image") -> Any:
    """The PIL.ImageDraw of an image."""
    return need("PIL.ImageDraw").Draw(image)


def draw_objects(size: int, index: int, objects: list[tuple[str, str, Box]]) -> "Image":
    """A sheet of paper with objects (colour, shape, box)."""
    image = paper(size, index)
    draw = pen(image)
    for colour, shape, box in objects:
        draw_shape(draw, shape, COLOURS[colour], box)
    return image


def draw_shape(draw: Any, shape: str, fill: tuple[int, int, int], box: Box) -> None:
    """Draw one of SHAPES into a box."""
    left, top, right, bottom = box
    if shape == "circle":
        draw.ellipse(box, fill=fill)
    elif shape == "square":
        draw.rectangle(box, fill=fill)
    elif shape == "triangle":
        draw.polygon([((left + right) / 2, top), (right, bottom), (left, bottom)], fill=fill)
    elif shape == "cross":
        third = (right - left) / 3
        draw.rectangle((left + third, top, right - third, bottom), fill=fill)
        draw.rectangle((left, top + third, right, bottom - third), fill=fill)
    elif shape == "star":
        draw.polygon(_star((left + right) / 2, (top + bottom) / 2, (right - left) / 2), fill=fill)
    else:
        raise ValueError(f"unknown shape {shape!r}")


def _star(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    points = []
    for corner in range(10):
        angle = corner * math.pi / 5 - math.pi / 2
        reach = radius if corner % 2 == 0 else radius * 0.42
        points.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return points


def boxes(rng: Random, number: int, size: int, least: int, most: int, snap: int = 1) -> list[Box]:
    """Up to `number` squares that do not touch: sides from `least` to `most`, in steps of `snap`."""
    found: list[Box] = []
    for _ in range(200):
        if len(found) == number:
            break
        side = rng.randint(least // snap, most // snap) * snap
        left, top = (rng.randint(0, (size - side) // snap) * snap for _ in range(2))
        box = (left, top, left + side - 1, top + side - 1)
        if all(_apart(box, other) for other in found):
            found.append(box)
    return found


def _apart(one: Box, other: Box, gap: int = 2) -> bool:
    return (
        one[2] + gap < other[0]
        or other[2] + gap < one[0]
        or one[3] + gap < other[1]
        or other[3] + gap < one[1]
    )


def per_mille(box: Box, size: int) -> list[int]:
    """The box in Qwen3-VL's form: thousandths of the image's sides, far edges exclusive."""
    left, top, right, bottom = box
    return [round(edge * 1000 / size) for edge in (left, top, right + 1, bottom + 1)]
