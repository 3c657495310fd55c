"""Tasks for an agent that zooms: cards with a digit too small to read until a crop of the card is seen.

A scene has 384 pixels a side. A model whose images have at most 12 tokens (`qvl tiny model
--max-image-tokens 12`) sees it with 96, where the digit is 4 pixels high. The tool is the official
image_zoom_in_tool; its crops are from the original and have 96 pixels, too (--zoom-min-tokens 8), or 96
x 128 for a box that is far off: with 64 the digit lies on the border of four tokens and is hardly
learned. In a call the label comes first, so that the box is looked up
by the name before it.

What each task is for, in the order in which they are learned, from a model that knows card-ground:
read, none and one are an agent that reads by one call; direct is the same questions without the tool, to
compare; first and two make it two calls; habit is a start for reinforcement learning.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from qvl.errors import need
from qvl.media.zoom import crop
from qvl.tiny.generators import cards
from qvl.tiny.generators.drawing import COLOURS, draw_objects, pen, per_mille
from qvl.tiny.generators.example import Example, Look, Turn

if TYPE_CHECKING:
    from PIL.Image import Image

SCALE = 4  # of the scene to the image that the model sees
SIZE = SCALE * cards.SIZE
CROP_TOKENS = 8  # at least, of a crop: that of a card gets 96 x 96 pixels
MOST = 3  # cards
JITTER = 10  # thousandths by which the crops of zoom-read miss
HINT = "Zoom in when needed. "
# Calls needed -> share of records with 0, 1 and 2 calls: mostly one call, whatever is asked. The shares of
# samples are others, where a turn of n tokens is learned with weights of 1/sqrt(n): an answer's first token
# then weighs 5.7 times a call's. docs/agent.md has what was sampled.
HABIT = {
    0: (0.1, 0.9, 0.0),
    1: (0.0, 0.85, 0.15),
    2: (0.0, 0.3, 0.7),
}

Box = tuple[int, int, int, int]


class Scene(NamedTuple):
    """Cards, each with a digit, in the order in which questions name them."""

    paper: int
    cards: tuple[cards.Card, ...]
    digits: tuple[int, ...]


def zoom_read(rng: Random, split: str) -> Example:
    """The digit on a crop, whose box is a little off in training: reading alone, without calls."""
    scene = _scene(rng, split)
    box = _box(scene, 0)
    if split == "train":
        left, top, right, bottom = (edge + rng.randint(-JITTER, JITTER) for edge in box)
        box = (left, top, right, bottom)
    digit = str(scene.digits[0])
    turns = [Turn("Which digit is this?", digit, digit)]
    return Example(("zoom-read", *scene, box), turns, partial(_crop, scene, box))


def zoom_direct(rng: Random, split: str) -> Example:
    """The digit on a card, without the hint and answered at once: what the tool is compared with.

    The digit cannot be seen, so training on it teaches to guess.
    """
    scene = _scene(rng, split)
    digit = str(scene.digits[0])
    turns = [Turn(f"Read {_named(scene, 1)}.", digit, digit)]
    return Example(("zoom-direct", *scene), turns, partial(_draw, scene))


def zoom_none(rng: Random, split: str) -> Example:
    """The cell of a card, which needs no call."""
    return _asked(rng, split, 0, (0,))


def zoom_one(rng: Random, split: str) -> Example:
    """The digit on a card, after a call."""
    return _asked(rng, split, 1, (1,))


def zoom_two(rng: Random, split: str) -> Example:
    """The digits on two cards, after two calls."""
    return _asked(rng, split, 2, (2,))


def zoom_first(rng: Random, split: str) -> Example:
    """zoom-two, cut after its first call: which of two names the box follows, for a third of the tokens."""
    example = _asked(rng, split, 2, (2,))
    turn = example.turns[0]
    return replace(example, turns=[turn._replace(content="", looks=turn.looks[:1])])


def zoom_habit(rng: Random, split: str) -> Example:
    """Questions that need none, one or two calls, mostly answered after one: see HABIT.

    A start from which reinforcement learning can learn how many calls a question needs. After fewer calls
    than needed the response gives only the digits that were seen, so none is a guess.
    """
    needed = rng.choice((0, 1, 2, 2))
    return _asked(rng, split, needed, HABIT[needed])


def _asked(rng: Random, split: str, needed: int, calls: tuple[float, ...]) -> Example:
    """A question that needs a number of calls. calls: that number, or the probability of 0, 1 and 2."""
    scene = _scene(rng, split)
    made = calls[0] if len(calls) == 1 else rng.choices((0, 1, 2), calls)[0]
    digits = [str(digit) for digit in scene.digits]
    if needed == 0:
        cell, hue = scene.cards[0]
        question, answer = f"Where is the {hue} card?", cards.number(cell)
        content = answer
    else:
        question, answer = f"Read {_named(scene, needed)}.", " ".join(digits[:needed])
        content = " ".join(digits[: min(int(made), needed)])
    looks = tuple(
        Look(f"{scene.cards[n][1]} card", _box(scene, n), partial(_crop, scene, _box(scene, n)))
        for n in range(int(made))
    )
    turns = [Turn(HINT + question, answer, content, looks=looks)]
    draw: Callable[[], Image] = partial(_draw, scene)
    return Example(("zoom", needed, *scene), turns, draw, {"calls_needed": needed})


def _scene(rng: Random, split: str) -> Scene:
    paper, layout = cards.layout(rng, split, MOST)
    named = tuple(rng.sample(layout, len(layout)))
    return Scene(paper, named, tuple(rng.randrange(10) for _ in named))


def _named(scene: Scene, number: int) -> str:
    return " and ".join(f"the {hue} card" for _, hue in scene.cards[:number])


def _box(scene: Scene, number: int) -> Box:
    """The box of a card, in thousandths."""
    left, top, right, bottom = per_mille(cards.box(scene.cards[number][0]), cards.SIZE)
    return left, top, right, bottom


def _draw(scene: Scene) -> "Image":
    places = [tuple(SCALE * edge for edge in _edges(cell)) for cell, _ in scene.cards]
    objects = [
        (hue, "square", (left, top, right - 1, bottom - 1))
        for (_, hue), (left, top, right, bottom) in zip(scene.cards, places, strict=True)
    ]
    image = draw_objects(SIZE, scene.paper, objects)
    draw = pen(image)
    side = SCALE * cards.CARD
    font = need("PIL.ImageFont").load_default(side * 0.34)
    for (left, top, right, bottom), digit in zip(places, scene.digits, strict=True):
        edge = side // 3 - 1
        patch = (left + edge, top + edge, right - edge - 1, bottom - edge - 1)
        draw.rectangle(patch, fill=(255, 255, 255))
        middle = (left + right) / 2, (top + bottom) / 2
        draw.text(middle, str(digit), fill=COLOURS["black"], font=font, anchor="mm")
    return image


def _edges(cell: int) -> Box:
    left, top, right, bottom = cards.box(cell)
    return left, top, right + 1, bottom + 1


def _crop(scene: Scene, box: Box) -> "Image":
    """What the tool returns for a box in thousandths: 96 x 96 pixels for that of a card."""
    return crop(_draw(scene), box, CROP_TOKENS)
