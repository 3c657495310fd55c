"""The table of the twin's tasks, and their examples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from qvl.errors import UserError
from qvl.tiny.generators import cards, corrective, handwriting, photographs, scenes, text
from qvl.tiny.generators.example import Example, Turn, stream

TRIES = 2000  # draws without a new example, after which a task is exhausted


@dataclass(frozen=True)
class Task:
    """`make(rng, split)` draws an example, `task` names the verifier, `train` is the default number."""

    make: Callable[[Random, str], Example]
    task: str
    train: int


TASKS = {  # name -> task. The numbers are our choice: a model learns digit, add and sum from these
    # within minutes, but not the others, of which more would only take time from digit
    "digit": Task(handwriting.digit, "ocr", 12000),
    "card-list": Task(cards.card_list, "caption", 5000),
    "card-find": Task(cards.card_find, "vqa", 3000),
    "card-where": Task(cards.card_where, "vqa", 6000),
    "card-ground": Task(cards.card_ground, "grounding", 3000),
    "add": Task(text.add, "math", 8000),
    "sum": Task(text.sum_up, "math", 8000),
    "logic": Task(text.logic, "logic", 400),
    "count": Task(scenes.count, "counting", 400),
    "photo": Task(photographs.photo, "vqa", 400),
    "colour": Task(scenes.colour, "vqa", 400),
    "ground": Task(scenes.ground, "grounding", 400),
    "clock": Task(scenes.clock, "clock", 400),
    "caption": Task(scenes.caption, "caption", 400),
    "mixed": Task(text.mixed, "math", 8000),
    "habits": Task(text.habits, "math", 8000),
    "odd-count": Task(corrective.odd_count, "counting", 400),
    "hard-clock": Task(corrective.hard_clock, "clock", 400),
}
CARDS = ("card-list", "card-find", "card-where", "card-ground")
BY_NAME = (*CARDS, "mixed", "habits", "odd-count", "hard-clock")
DEFAULT = [name for name in TASKS if name not in BY_NAME]


def names(wanted: str) -> list[str]:
    """Parse a comma-separated list of tasks. UserError for an unknown one."""
    found = [name.strip() for name in wanted.split(",")]
    for name in found:
        if name not in TASKS:
            raise UserError(f"unknown task {name!r}; the tasks are {', '.join(TASKS)}")
    return list(dict.fromkeys(found))


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


def messages(turns: list[Turn], image: str | None, *, thinking: bool = False) -> list[dict]:
    """The conversation, with the image before the first question.

    The last line of a response is the answer and the lines before it the reasoning; with `thinking`,
    the reasoning is in reasoning_content.
    """
    found: list[dict[str, Any]] = []
    for number, turn in enumerate(turns):
        content: Any = turn.question
        if image and number == 0:
            content = [{"type": "image", "image": image}, {"type": "text", "text": content}]
        found.append({"role": "user", "content": content})
        answer = {"role": "assistant", "content": turn.content}
        if turn.reasoning and thinking:
            answer["reasoning_content"] = turn.reasoning
        elif turn.reasoning:
            answer["content"] = f"{turn.reasoning}\n{turn.content}"
        found.append(answer)
    return found
