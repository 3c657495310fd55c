"""The training text of the twin's tokenizer: an enumeration of the texts of all tasks.

Nothing is drawn at random, so the tokens are the same on every machine.
"""

import json
from collections.abc import Iterator

from qvl.tiny.generators.drawing import COLOURS, SHAPES
from qvl.tiny.generators.photographs import PHOTOGRAPHS
from qvl.tiny.generators.scenes import CARD_COLOURS, PLACES
from qvl.tiny.generators.text import COMPARED, NAMES

FRAME = [  # the texts of prompts, tools and judges around the tasks
    '{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [125, 250, 375, 500], '
    '"label": "card", "img_idx": 0}}',
    '{"type": "function", "function": {"name": "image_zoom_in_tool", "description": "Zoom in on '
    'the image.", "parameters": {"type": "object", "properties": {"bbox_2d": {"type": "array"}}}}}',
    "Read the number on the card. Read the red card and the blue card.",
    "Look at the image, think step by step, and put your final answer within \\boxed{}.",
    "Yes. No. The answer is 42.",
]


def lines() -> Iterator[str]:
    """Yield the lines of the corpus."""
    yield from FRAME * 20
    yield from ["system\nuser\nassistant\n"] * 80  # of every turn
    for number in range(100):
        yield f"What is {number} + {99 - number}?"
        yield f"Sum up {number // 10} {number % 10} 3 8."
        yield f"{number}+{number % 10}={number + number % 10}\n{number}"
        yield "Which digit is this?"
        yield "How many objects are there?"
        yield "What time is it?"
        yield "Describe the cards."
        yield "List the cards."
        yield "What does the photograph show?"
    for name in NAMES:
        for other in NAMES:
            for rank in COMPARED:
                yield f"{name} is taller than {other}. {other} is shorter than {name}."
                yield f"Who is the {rank}?\n{name}"
    for hue in COLOURS:
        yield from [f"How many {hue} objects are there?", f"Which shape is {hue}?", hue] * 4
        for shape in SHAPES:
            yield from [f"What colour is the {shape}?", shape] * 2
            yield f"Locate the {hue} {shape}."
            yield json.dumps([{"bbox_2d": [167, 333, 583, 750], "label": f"{hue} {shape}"}])
        yield from [f"Find the {hue} card.", f"Where is the {hue} card?", f"{hue}5, {hue}7"] * 24
        yield f"Locate the {hue} card."
        yield json.dumps([{"label": f"{hue} card", "bbox_2d": [83, 417, 250, 583]}])
    for hue in CARD_COLOURS:
        for place in PLACES:
            yield f"{hue} {place}, {hue} {place}"
    for name in PHOTOGRAPHS:
        yield from [name] * 10
