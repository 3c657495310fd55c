"""Tasks over drawn scenes: colour, count, ground, caption, clock."""

import json
import math
from random import Random
from typing import TYPE_CHECKING

from qvl.tiny.generators.drawing import (
    COLOURS,
    PAPERS,
    SHAPES,
    Box,
    boxes,
    draw_objects,
    paper,
    pen,
    per_mille,
)
from qvl.tiny.generators.example import Example, Turn, drawn

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 96  # pixels: 3 x 3 tokens
PLACES = [
    *("top left", "top", "top right"),
    *("left", "centre", "right"),
    *("bottom left", "bottom", "bottom right"),
]
CARD_COLOURS = ["red", "green", "blue", "yellow", "purple"]

Object = tuple[str, str, Box]  # colour, shape, box


def colour(rng: Random, split: str, most: int = 2) -> Example:
    """The colour of a shape, or the shape of a colour; all colours and shapes differ."""
    key = paper_index, objects = drawn(split, lambda: _scene(rng, most, 18, 34))
    turns = []
    for hue, shape, _ in rng.sample(objects, len(objects)):
        if rng.random() < 0.5:
            turns.append(Turn(f"What colour is the {shape}?", hue, hue))
        else:
            turns.append(Turn(f"Which shape is {hue}?", shape, shape))
    return Example(("colour", *key), turns, lambda: draw_objects(SIZE, paper_index, list(objects)))


def count(rng: Random, split: str, most: int = 4) -> Example:
    """The number of objects, in total and of one colour."""
    key = paper_index, objects = drawn(split, lambda: _scene(rng, most, 14, 24, alike=True))
    number = str(len(objects))
    hue = rng.choice([one[0] for one in objects] if rng.random() < 0.8 else list(COLOURS))
    of_hue = str(sum(one[0] == hue for one in objects))
    turns = [
        Turn("How many objects are there?", number, number),
        Turn(f"How many {hue} objects are there?", of_hue, of_hue),
    ]
    return Example(("count", *key), turns, lambda: draw_objects(SIZE, paper_index, list(objects)))


def ground(rng: Random, split: str, most: int = 2) -> Example:
    """The box of an object as Qwen3-VL's JSON, in thousandths of the image's sides."""
    # Corners on multiples of 8 pixels leave few numbers to learn.
    key = paper_index, objects = drawn(split, lambda: _scene(rng, most, 24, 40, snap=8))
    turns = []
    for hue, shape, box in rng.sample(objects, len(objects)):
        answer = [{"bbox_2d": per_mille(box, SIZE), "label": f"{hue} {shape}"}]
        turns.append(Turn(f"Locate the {hue} {shape}.", answer, json.dumps(answer)))
    return Example(("ground", *key), turns, lambda: draw_objects(SIZE, paper_index, list(objects)))


def caption(rng: Random, split: str, most: int = 3) -> Example:
    """The colour and place of every card on a 3 x 3 grid, in reading order."""

    def draw() -> tuple:
        number = rng.randint(1, most)
        cards = zip(
            sorted(rng.sample(range(9), number)), rng.sample(CARD_COLOURS, number), strict=True
        )
        return rng.randrange(len(PAPERS)), tuple(cards)

    key = paper_index, cards = drawn(split, draw)
    side = SIZE // 3
    objects = []
    for place, hue in cards:
        left, top = place % 3 * side + side // 4, place // 3 * side + side // 4
        objects.append((hue, "square", (left, top, left + side // 2 - 1, top + side // 2 - 1)))
    answer = ", ".join(f"{hue} {PLACES[place]}" for place, hue in cards)
    turns = [Turn("Describe the cards.", answer, answer)]
    return Example(("caption", *key), turns, lambda: draw_objects(SIZE, paper_index, objects))


def clock(rng: Random, split: str, step: int = 5) -> Example:
    """The time on a clock, to five minutes."""

    def draw() -> tuple:
        hands = rng.choice(list(COLOURS)), rng.choice(list(COLOURS))
        centre = SIZE // 2 + rng.randint(-4, 4), SIZE // 2 + rng.randint(-4, 4)
        hour, minute = rng.randrange(12), rng.randrange(60 // step) * step
        return hour, minute, rng.randrange(len(PAPERS)), centre, rng.randint(36, 43), hands

    key = drawn(split, draw)
    answer = f"{key[0] or 12}:{key[1]:02d}"
    turns = [Turn("What time is it?", answer, answer)]
    return Example(("clock", *key), turns, lambda: _face(*key))


def _scene(
    rng: Random, most: int, least_side: int, most_side: int, snap: int = 1, alike: bool = False
) -> tuple[int, tuple[Object, ...]]:
    """A paper and 1 to `most` objects; unless `alike`, all colours and shapes differ."""
    places = boxes(rng, rng.randint(1, most), SIZE, least_side, most_side, snap)
    number = len(places)
    if alike:
        hues, shapes = rng.choices(list(COLOURS), k=number), rng.choices(SHAPES, k=number)
    else:
        hues, shapes = rng.sample(list(COLOURS), number), rng.sample(SHAPES, number)
    return rng.randrange(len(PAPERS)), tuple(zip(hues, shapes, places, strict=True))


def _face(
    hour: int,
    minute: int,
    paper_index: int,
    centre: tuple[int, int],
    radius: int,
    hands: tuple[str, str],
) -> "Image":
    image = paper(SIZE, paper_index)
    draw = pen(image)
    x, y = centre

    def point(angle: float, reach: float) -> tuple[float, float]:
        return x + reach * radius * math.sin(angle), y - reach * radius * math.cos(angle)

    draw.ellipse(
        (x - radius, y - radius, x + radius, y + radius),
        outline=(0, 0, 0),
        width=2,
        fill=(250,) * 3,
    )
    for mark in range(12):
        angle = mark * math.pi / 6
        draw.line((*point(angle, 0.86), *point(angle, 0.98)), fill=(90, 90, 90), width=1)
    for angle, reach, width, hand in (
        ((hour + minute / 60) * math.pi / 6, 0.48, 5, hands[0]),
        (minute * math.pi / 30, 0.82, 2, hands[1]),
    ):
        draw.line((x, y, *point(angle, reach)), fill=COLOURS[hand], width=width)
    return image
