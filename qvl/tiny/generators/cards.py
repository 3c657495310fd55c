"""Tasks over coloured cards on a 3 x 3 grid: list them, and find, place and locate one by its name.

A model this small learns to look something up by a word within seconds where the value is the very next
token after the name ("red5"): word, key and value meet in one attention step. With one token between
them ("red 5" is three tokens, the middle one a space) it stays at the place of any card. Once it has the
first step, it learns the second, which carries the value to an answer that does not repeat the name. So
card-list and card-find follow this rule, and come before card-where and card-ground in a curriculum.
"""

import json
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from qvl.tiny.generators.drawing import COLOURS, PAPERS, Box, draw_objects, per_mille
from qvl.tiny.generators.example import Example, Turn, drawn

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 96  # pixels: 3 x 3 tokens, so a cell of the grid is one token
CELL = SIZE // 3
CARD = CELL // 2
CELLS = 9  # numbered from 1 in reading order
ALBUM = (60, 240)  # images of an album, of some 33 tokens each with their questions
QUESTIONS = 3  # per image, about cards drawn with replacement

Card = tuple[int, str]  # cell from 0, colour
Layout = tuple[int, tuple[Card, ...]]  # paper, cards in reading order


def card_list(rng: Random, split: str, most: int = 3) -> Example:
    """The name and cell of each card, in the order of COLOURS.

    That order says nothing about the places, so each is looked up by its name; in the order of places no
    name would be needed, and in a random one most of the loss would be the choice of the next name, and
    learning takes three times as long. Few cards are learned fastest, and the step that is learned holds
    for more of them.
    """
    key = _, cards = layout(rng, split, most)
    answer = ", ".join(map(named, _ordered(cards)))
    return _example(key, [Turn("List the cards.", answer, answer)])


def card_given(rng: Random, split: str, most: int = 3) -> Example:
    """card-list with the names given: only the cells are learned.

    So each cell must be looked up by the name before it. Where the names are learned, too, the model finds
    the next card before it writes its name, and can take the cell from there: it lists cards, and cannot
    look one up.
    """
    key = _, cards = layout(rng, split, most)
    parts: list[tuple[str, bool]] = []
    for place, (cell, hue) in enumerate(_ordered(cards)):
        parts += [(f", {hue}" if place else hue, False), (number(cell), True)]
    answer = "".join(text for text, _ in parts)
    return _example(key, [Turn("List the cards.", answer, answer, parts=tuple(parts))])


def card_find(rng: Random, split: str) -> Example:
    """The cell of a card, after its name: one step from the name in the answer."""
    key = _, cards = layout(rng, split)
    turns = [
        Turn(f"Find the {card[1]} card.", named(card), named(card))
        for card in rng.choices(cards, k=QUESTIONS)
    ]
    return _example(key, turns)


def card_where(rng: Random, split: str) -> Example:
    """The cell of a card alone: two steps, from the name in the question."""
    key = _, cards = layout(rng, split)
    turns = [
        Turn(f"Where is the {hue} card?", number(cell), number(cell))
        for cell, hue in rng.choices(cards, k=QUESTIONS)
    ]
    return _example(key, turns)


def card_think(rng: Random, split: str) -> Example:
    """card-where after a thought that finds the card first: two single steps, easy to learn."""
    return _thought(rng, split, 1.0)


def card_mixed(rng: Random, split: str, share: float = 0.35) -> Example:
    """The same, but only a share of the answers has the thought; a hurried annotator gave the others.

    An answer without a thought is the cell of any card, so this way of answering stays at chance, however
    long a model trains on it, and reinforcement learning can teach it to choose the other. With true
    answers the model would soon need no thought. The share is our choice.
    """
    return _thought(rng, split, share)


def _thought(rng: Random, split: str, share: float) -> Example:
    key = _, cards = layout(rng, split)
    thinks = rng.random() < share  # all turns of a conversation, or none
    turns = []
    for card in rng.choices(cards, k=QUESTIONS):
        question, answer = f"Where is the {card[1]} card?", number(card[0])
        if thinks:
            turns.append(Turn(question, answer, answer, named(card)))
        else:
            turns.append(Turn(question, answer, number(rng.choice(cards)[0])))
    return _example(key, turns)


def card_ground(rng: Random, split: str) -> Example:
    """The box of a card as Qwen3-VL's JSON, in thousandths of the image's sides, the label first."""
    key = _, cards = layout(rng, split)
    turns = []
    for cell, hue in rng.choices(cards, k=QUESTIONS - 1):  # the answers are long
        answer = [{"label": f"{hue} card", "bbox_2d": per_mille(box(cell), SIZE)}]
        turns.append(Turn(f"Locate the {hue} card.", answer, json.dumps(answer)))
    return _example(key, turns)


def card_sum(rng: Random, split: str, most: int = 4) -> Example:
    """The sum of the cells of all cards: the thought lists the cards, then adds up step by step."""
    key = _, cards = layout(rng, split, most)
    ordered = _ordered(cards)
    total, steps = ordered[0][0] + 1, list(map(named, ordered))
    for cell, _ in ordered[1:]:
        steps.append(f"{total}+{cell + 1}={total + cell + 1}")
        total += cell + 1
    turn = Turn("Sum up the places of the cards.", str(total), str(total), " ".join(steps))
    return _example(key, [turn])


def card_album(rng: Random, split: str) -> Example:
    """Where a card is on each of many images, one after the other: a context of up to 8K tokens.

    The answer is on the image that came last, and most images before it show a card of that name, too.
    """
    pages = tuple(layout(rng, split) for _ in range(rng.randint(*ALBUM)))
    turns = []
    for page in pages:
        cell, hue = rng.choice(page[1])
        where = number(cell)
        turns.append(Turn(f"Where is the {hue} card?", where, where, draw=partial(image, *page)))
    return Example(("album", *pages), turns, tested=len(turns) - 1)


def layout(rng: Random, split: str, most: int = len(COLOURS)) -> Layout:
    """A paper and 2 to `most` cards of different colours.

    The cards alone decide the split: no task trains on the cards that another tests, on any paper.
    """

    def draw() -> tuple[Card, ...]:
        count = rng.randint(2, most)
        cells = sorted(rng.sample(range(CELLS), count))
        return tuple(zip(cells, rng.sample(list(COLOURS), count), strict=True))

    cards = drawn(split, draw)
    return rng.randrange(len(PAPERS)), cards


def _ordered(cards: tuple[Card, ...]) -> list[Card]:
    return sorted(cards, key=lambda card: list(COLOURS).index(card[1]))


def named(card: Card) -> str:
    """A card's name and the number of its cell, two tokens: "red5"."""
    cell, hue = card
    return f"{hue}{number(cell)}"


def number(cell: int) -> str:
    """The number of a cell, from 1."""
    return str(cell + 1)


def box(cell: int) -> Box:
    """The box of the card in a cell, in pixels."""
    left, top = (cell % 3 * CELL + (CELL - CARD) // 2, cell // 3 * CELL + (CELL - CARD) // 2)
    return left, top, left + CARD - 1, top + CARD - 1


def image(paper: int, cards: tuple[Card, ...]) -> "Image":
    """The picture of a layout."""
    return draw_objects(SIZE, paper, [(hue, "square", box(cell)) for cell, hue in cards])


def _example(key: Layout, turns: list[Turn]) -> Example:
    return Example(("cards", *key), turns, lambda: image(*key))
