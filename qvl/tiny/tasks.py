"""The table of the twin's tasks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from qvl.errors import UserError
from qvl.tiny import corrective, handwriting, photographs, scenes, text
from qvl.tiny.example import Sample, Turn, stream

TRIES = 2000  # draws without a new sample, after which a task has no more


@dataclass(frozen=True)
class Task:
    """`make(rng, split)`; `task` names the verifier; `train` is how many samples by default."""

    make: Callable[[Random, str], Sample]
    task: str
    train: int


TASKS = {  # name -> task; the amounts are our choice: digit, add and sum are learnt in minutes from
    # these, and more of the others, which are not, would only cost digit its time
    "digit": Task(handwriting.digit, "ocr", 12000),
    "add": Task(text.add, "math", 8000),
    "sum": Task(text.sum_up, "math", 8000),
    "logic": Task(text.logic, "logic", 500),
    "colour": Task(scenes.colour, "vqa", 400),
    "count": Task(scenes.count, "counting", 400),
    "ground": Task(scenes.ground, "grounding", 400),
    "clock": Task(scenes.clock, "clock", 400),
    "caption": Task(scenes.caption, "caption", 400),
    "photo": Task(photographs.photo, "vqa", 400),
    "mixed": Task(text.mixed, "math", 8000),
    "odd-count": Task(corrective.odd_count, "counting", 400),
    "hard-clock": Task(corrective.hard_clock, "clock", 400),
}
DEFAULT = [name for name in TASKS if name not in ("mixed", "odd-count", "hard-clock")]


def names(wanted: str) -> list[str]:
    """The tasks of a list with commas. UserError for one that there is not."""
    found = [name.strip() for name in wanted.split(",")]
    for name in found:
        if name not in TASKS:
            raise UserError(f"no task {name!r}; there are {', '.join(TASKS)}")
    return list(dict.fromkeys(found))


def samples(name: str, seed: int, split: str, number: int) -> Iterator[Sample]:
    """`number` different samples of a task; fewer are the first of more. UserError beyond all."""
    seen: set[tuple] = set()
    make, draw, last = TASKS[name].make, 0, 0
    while len(seen) < number:
        sample = make(stream(seed, name, split, draw), split)
        if sample.key not in seen:
            seen.add(sample.key)
            last = draw
            yield sample
        elif draw - last > TRIES:
            raise UserError(f"{name}: no more than {len(seen)} different samples to {split}")
        draw += 1


def messages(turns: list[Turn], image: str | None, *, thinking: bool = False) -> list[dict]:
    """The conversation; the image stands before the first question.

    The steps of an answer are its first lines, and the answer proper is the last; a `thinking`
    model has them in reasoning_content.
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
