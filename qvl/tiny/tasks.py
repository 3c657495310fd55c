"""The table of the twin's tasks, and their examples."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from qvl.errors import UserError
from qvl.tiny.generators import cards, corrective, handwriting, photographs, scenes, text, zoom
from qvl.tiny.generators.example import Example, Look, Turn, stream

TOOL = "image_zoom_in_tool"
TRIES = 2000  # draws without a new example, after which a task is exhausted


@dataclass(frozen=True)
class Task:
    """`make(rng, split)` draws an example, `task` names the verifier, `train` is the default number.

    With `thinks` the reasoning is a thought, between <think> and </think>. What is not `tested` is a
    lesson for other tasks, and asks nothing of its own.
    """

    make: Callable[[Random, str], Example]
    task: str
    train: int
    thinks: bool = False
    tested: bool = True


TASKS = {  # name -> task. The numbers are our choice: examples/recipe.sh teaches a model the first
    # eight within minutes
    "digit": Task(handwriting.digit, "ocr", 13000),
    "card-given": Task(cards.card_given, "caption", 5000, tested=False),
    "card-list": Task(cards.card_list, "caption", 500),
    "card-find": Task(cards.card_find, "vqa", 1500),
    "card-where": Task(cards.card_where, "vqa", 3000),
    "card-ground": Task(cards.card_ground, "grounding", 2400),
    "add": Task(text.add, "math", 8000),
    "sum": Task(text.sum_up, "math", 5000),
    "logic": Task(text.logic, "logic", 400),
    "count": Task(scenes.count, "counting", 400),
    "photo": Task(photographs.photo, "vqa", 400),
}
DEFAULT = list(TASKS)
TASKS |= {  # made only by name: not learned in the time of the demo,
    "colour": Task(scenes.colour, "vqa", 400),
    "ground": Task(scenes.ground, "grounding", 400),
    "clock": Task(scenes.clock, "clock", 400),
    "caption": Task(scenes.caption, "caption", 400),
    # thinking and long contexts, for a model that knows the first,
    "long-sum": Task(text.long_sum, "math", 4000, thinks=True),
    "longer-sum": Task(partial(text.long_sum, terms=12), "math", 4000, thinks=True),
    "card-sum": Task(cards.card_sum, "math", 4000, thinks=True),
    "card-album": Task(cards.card_album, "vqa", 60),
    # starts and queries of reinforcement learning,
    "mixed": Task(text.mixed, "math", 8000),
    "habits": Task(text.habits, "math", 8000),
    "card-think": Task(cards.card_think, "vqa", 4000),
    "card-mixed": Task(cards.card_mixed, "vqa", 2000),
    "odd-count": Task(corrective.odd_count, "counting", 400),
    "hard-clock": Task(corrective.hard_clock, "clock", 400),
    # and agents that zoom
    "zoom-read": Task(zoom.zoom_read, "ocr", 4000),
    "zoom-direct": Task(zoom.zoom_direct, "ocr", 600),
    "zoom-none": Task(zoom.zoom_none, "vqa", 2000),
    "zoom-one": Task(zoom.zoom_one, "ocr", 2000),
    "zoom-two": Task(zoom.zoom_two, "ocr", 2000),
    "zoom-first": Task(zoom.zoom_first, "ocr", 2000),
    "zoom-habit": Task(zoom.zoom_habit, "vqa", 3600),
}


def shares(wanted: str) -> dict[str, float]:
    """Parse a comma-separated list of tasks, each with its share, "sum=8,card-find=1", or none, where
    their default numbers are the shares. UserError for another task, or another share."""
    words = [word.partition("=") for word in wanted.split(",")]
    found: dict[str, float] = {}
    for name, _, share in words:
        task = TASKS.get(name.strip())
        if task is None:
            raise UserError(f"unknown task {name.strip()!r}; the tasks are {', '.join(TASKS)}")
        try:
            found[name.strip()] = float(share) if any(one[1] for one in words) else task.train
        except ValueError:
            raise UserError(
                f"--tasks {wanted}: expected NAME=SHARE for each, or for none"
            ) from None
    if not all(0 < share < math.inf for share in found.values()):
        raise UserError(f"--tasks {wanted}: expected shares above 0")
    return found


def examples(name: str, seed: int, split: str, number: int) -> Iterator[Example]:
    """Yield `number` different examples of a task; a smaller number gives the first of them.

    UserError if the task has fewer.
    """
    seen: set[tuple] = set()
    make, draw, last = TASKS[name].make, 0, 0
    while len(seen) < number:
        example = make(stream(seed, name, split, draw), split)
        if example.key not in seen:
            seen.add(example.key)
            last = draw
            yield example
        elif draw - last > TRIES:
            raise UserError(f"{name}: only {len(seen)} different examples to {split}")
        draw += 1


def messages(
    turns: list[Turn],
    shown: Iterable[str | None],
    crops: Iterable[str] = (),
    *,
    reasoning: str = "lines",
) -> list[dict]:
    """The conversation. shown: the path of the image of each turn, if it has one. crops: of the looks of
    `returned`.

    The last line of a response is the answer. reasoning: where it goes, into the "lines" before the answer,
    a thought between "tags", or the "field" reasoning_content.
    """
    found: list[dict[str, Any]] = []
    crop = iter(crops)
    for turn, image in zip(turns, shown, strict=True):
        found.append(question(turn, image))
        for look in turn.looks:
            found.append(_call(look))
            path = next(crop, None)
            if path is not None:
                found.append({"role": "tool", "content": [_image(path)]})
        if turn.content:
            found.append(_answer(turn, reasoning))
    return found


def question(turn: Turn, image: str | None) -> dict[str, Any]:
    """The user's message of a turn."""
    content: Any = turn.question
    if image:
        content = [_image(image), {"type": "text", "text": content}]
    return {"role": "user", "content": content}


def _answer(turn: Turn, reasoning: str) -> dict[str, Any]:
    if turn.parts:
        texts = [
            {"type": "text", "text": text}
            if learned
            else {"type": "text", "text": text, "loss": False}
            for text, learned in turn.parts
        ]
        return {"role": "assistant", "content": texts}
    if not turn.reasoning:
        return {"role": "assistant", "content": turn.content}
    if reasoning == "field":
        return {"role": "assistant", "content": turn.content, "reasoning_content": turn.reasoning}
    form = "<think>\n{}\n</think>\n\n{}" if reasoning == "tags" else "{}\n{}"
    return {"role": "assistant", "content": form.format(turn.reasoning, turn.content)}


def returned(turns: list[Turn]) -> list[Look]:
    """The looks whose crops a conversation shows: all, but the last where it ends with a call."""
    looks = [look for turn in turns for look in turn.looks]
    return looks[:-1] if not turns[-1].content else looks


def _image(path: str) -> dict[str, str]:
    return {"type": "image", "image": path}


def _call(look: Look) -> dict[str, Any]:
    """The turn with a call, its label first: the box is looked up by it."""
    arguments = {"label": look.label, "bbox_2d": list(look.box), "img_idx": 0}
    call = {"type": "function", "function": {"name": TOOL, "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}
