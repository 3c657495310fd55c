"""Tasks against a model's priors, for general RL (Qwen3-VL report, 4.4.2).

The report names counter-intuitive counting and complex clock reading. Here: things with an unusual
number of parts, or sometimes the usual one, so the number cannot be guessed; and clocks with three
hands of one colour on a rotated dial. The things and their numbers are our choice.
"""

import math
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from qvl.tiny.generators.drawing import COLOURS, PAPERS, paper, pen
from qvl.tiny.generators.example import Example, Turn, drawn

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 96  # pixels: 3 x 3 tokens
USUAL_SHARE = 0.2  # share of the things with their usual number of parts
MAX_DEVIATION = 3  # parts more or less than usual
HUES = ["red", "green", "blue", "purple", "black"]  # yellow would not stand out from light parts

Draw = Callable[[Any, int, int, int, int, tuple[int, int, int]], None]


def odd_count(rng: Random, split: str) -> Example:
    """The number of parts of a thing, rarely the usual one."""

    def draw() -> tuple:
        name = rng.choice(list(THINGS))
        usual, smallest, _, _ = THINGS[name]
        others = [
            n
            for n in range(max(smallest, usual - MAX_DEVIATION), usual + MAX_DEVIATION + 1)
            if n != usual
        ]
        number = usual if rng.random() < USUAL_SHARE else rng.choice(others)
        place = SIZE // 2 + rng.randint(-6, 6), SIZE // 2 + rng.randint(-6, 6)
        return (
            name,
            number,
            rng.choice(HUES),
            rng.randrange(len(PAPERS)),
            place,
            rng.randint(30, 40),
        )

    key = name, number, hue, paper_index, (x, y), reach = drawn(split, draw)
    _, _, question, put = THINGS[name]

    def image() -> "Image":
        page = paper(SIZE, paper_index)
        put(pen(page), number, x, y, reach, COLOURS[hue])
        return page

    answer = str(number)
    return Example(("odd-count", *key), [Turn(question, answer, answer)], image)


def hard_clock(rng: Random, split: str) -> Example:
    """The time to the second on a dial that is rotated by any number of hours."""

    def draw() -> tuple:
        time = rng.randrange(12), rng.randrange(60), rng.randrange(60)
        centre = SIZE // 2 + rng.randint(-3, 3), SIZE // 2 + rng.randint(-3, 3)
        rotation = rng.randrange(12)  # hours, clockwise
        return (*time, rotation, rng.randrange(len(PAPERS)), centre, rng.randint(40, 44))

    key = hour, minute, second, *_ = drawn(split, draw)
    answer = f"{hour or 12}:{minute:02d}:{second:02d}"
    question = "What time is it, to the second? The red mark is at twelve."
    return Example(("hard-clock", *key), [Turn(question, answer, answer)], lambda: _dial(*key))


def angles(hour: int, minute: int, second: int, rotation: int) -> tuple[float, float, float]:
    """The angles of the hour, minute and second hands: radians clockwise from the image's top."""
    twelfth = math.pi / 6
    minutes = minute + second / 60
    hours = hour + minutes / 60
    return (
        (rotation + hours) * twelfth,
        (rotation + minutes / 5) * twelfth,
        (rotation + second / 5) * twelfth,
    )


def point(x: float, y: float, angle: float, reach: float) -> tuple[float, float]:
    """The point at an angle, clockwise from the top, and a distance."""
    return x + reach * math.sin(angle), y - reach * math.cos(angle)


def _dial(
    hour: int,
    minute: int,
    second: int,
    rotation: int,
    paper_index: int,
    centre: tuple[int, int],
    radius: int,
) -> "Image":
    image = paper(SIZE, paper_index)
    draw = pen(image)
    x, y = centre
    edge = (x - radius, y - radius, x + radius, y + radius)
    draw.ellipse(edge, outline=(0, 0, 0), width=2, fill=(250, 250, 250))
    for mark in range(12):
        angle = (rotation + mark) * math.pi / 6
        ends = *point(x, y, angle, 0.82 * radius), *point(x, y, angle, 0.97 * radius)
        twelve = mark == 0
        draw.line(ends, fill=COLOURS["red"] if twelve else (90, 90, 90), width=4 if twelve else 1)
    hands = angles(hour, minute, second, rotation)
    for angle, (reach, width) in zip(hands, ((0.5, 5), (0.75, 3), (0.8, 1)), strict=True):
        draw.line((x, y, *point(x, y, angle, reach * radius)), fill=COLOURS["black"], width=width)
    return image


def _star(draw: Any, number: int, x: int, y: int, reach: int, hue: tuple[int, int, int]) -> None:
    corners = []
    for corner in range(2 * number):
        angle = corner * math.pi / number
        corners.append(point(x, y, angle, reach if corner % 2 == 0 else 0.4 * reach))
    draw.polygon(corners, fill=hue)


def _hand(draw: Any, number: int, x: int, y: int, reach: int, hue: tuple[int, int, int]) -> None:
    draw.ellipse((x - reach * 0.6, y - reach * 0.1, x + reach * 0.6, y + reach), fill=hue)
    for finger in range(number):
        angle = (finger - (number - 1) / 2) * 2 / max(1, number - 1)
        tip = point(x, y + reach * 0.45, angle, 1.25 * reach)
        draw.line((x, y + reach * 0.45, *tip), fill=hue, width=max(3, reach // 8))


def _animal(draw: Any, number: int, x: int, y: int, reach: int, hue: tuple[int, int, int]) -> None:
    draw.ellipse((x - reach, y - reach * 0.5, x + reach, y + reach * 0.2), fill=hue)
    draw.ellipse((x + reach * 0.7, y - reach * 0.8, x + reach * 1.2, y - reach * 0.3), fill=hue)
    for leg in range(number):
        left = x - reach * 0.8 + leg * reach * 1.6 / max(1, number - 1)
        draw.line((left, y - reach * 0.1, left, y + reach), fill=hue, width=max(3, reach // 8))


def _lights(draw: Any, number: int, x: int, y: int, reach: int, hue: tuple[int, int, int]) -> None:
    side = 2.2 * reach / number
    draw.rectangle((x - side / 2, y - 1.1 * reach, x + side / 2, y + 1.1 * reach), fill=(235,) * 3)
    for lamp in range(number):
        top = y - 1.1 * reach + lamp * side
        inner = (x - side * 0.35, top + side * 0.15, x + side * 0.35, top + side * 0.85)
        draw.ellipse(inner, fill=hue)


def _octopus(draw: Any, number: int, x: int, y: int, reach: int, hue: tuple[int, int, int]) -> None:
    draw.ellipse((x - reach * 0.5, y - reach * 0.5, x + reach * 0.5, y + reach * 0.5), fill=hue)
    for arm in range(number):
        angle = (arm + 0.5) * 2 * math.pi / number
        draw.line((x, y, *point(x, y, angle, 1.1 * reach)), fill=hue, width=max(2, reach // 10))


THINGS: dict[
    str, tuple[int, int, str, Draw]
] = {  # usual number, smallest number, question, drawing
    "star": (5, 3, "How many points does the star have?", _star),
    "hand": (5, 2, "How many fingers does the hand have?", _hand),
    "animal": (4, 2, "How many legs does the animal have?", _animal),
    "lights": (3, 1, "How many lamps does the traffic light have?", _lights),
    "octopus": (8, 4, "How many arms does the octopus have?", _octopus),
}
