"""Write a raw set to curate and train on, and a clean one to evaluate with, to one folder."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.tiny import defects, tasks
from qvl.tiny.generators.example import digest, stream

if TYPE_CHECKING:
    from PIL.Image import Image

RAW, TEST, DEFECTS = "raw.jsonl.zst", "test.jsonl.zst", "defects.jsonl.zst"
DEFAULT_TRAIN = sum(tasks.TASKS[name].train for name in tasks.DEFAULT)


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """The size and composition of the sets; the defaults are our choice."""

    names: list[str] = field(default_factory=lambda: list(tasks.DEFAULT))
    shares: dict[str, float] = field(default_factory=dict)
    """Shares of the tasks in the training records; by default their default numbers."""
    seed: int = 0

    train: int | None = None
    """Training records without duplicates; None: the sum of the tasks' default numbers."""

    test: int = 1000
    """Held-out records, the same number for each task."""

    defect_share: float = 0.07
    """Share of training records with a defect: duplicates are added, others replace a record."""

    thinking: bool = False
    """Write the reasoning to reasoning_content, not to the first lines of the response."""

    def amounts(self, split: str) -> dict[str, int]:
        """The number of examples of each task."""
        numbers = {name: tasks.TASKS[name].train for name in self.names}
        tested = [name for name in numbers if tasks.TASKS[name].tested]
        weights = {**numbers, **self.shares} if split == "train" else dict.fromkeys(tested, 1.0)
        default = sum(weights.values())
        total = sum(numbers.values()) if self.train is None else self.train
        wanted = self.test if split == "test" else total
        if wanted < len(weights):
            raise UserError(
                f"--{split} {wanted}: must be at least the number of tasks, {len(weights)}"
            )
        # Rounding the running total makes the numbers add up to the requested one.
        ends, sofar = [0], 0.0
        for weight in weights.values():
            sofar += weight
            ends.append(round(sofar * wanted / default))
        return {name: ends[i + 1] - ends[i] for i, name in enumerate(weights)}


def write(folder: Path, plan: DataPlan) -> Counter[str]:
    """Write the sets to an existing folder; return the number of records, images and defects."""
    (folder / "images").mkdir()
    counts: Counter[str] = Counter()
    corrupted = defects.inject(
        list(_records(folder, plan, "train")), plan.defect_share, stream(plan.seed, "defects")
    )
    order = _order(corrupted, plan.seed)
    identity = {place: f"tiny-{number:06d}" for number, place in enumerate(order)}
    notes = []

    def raw() -> Iterator[dict]:
        for place in order:
            record, kind, original = corrupted[place]
            counts["raw"] += 1
            if kind:
                counts[kind] += 1
                note = {"id": identity[place], "defect": kind}
                notes.append(note if original is None else {**note, "of": identity[original]})
            yield {"id": identity[place], **record}

    def test() -> Iterator[dict]:
        for number, record in enumerate(_records(folder, plan, "test")):
            counts["test"] += 1
            yield {"id": f"test-{number:05d}", **record}

    jsonl.write(raw(), str(folder / RAW))
    jsonl.write(test(), str(folder / TEST))
    jsonl.write(iter(notes), str(folder / DEFECTS))
    counts["images"] = sum(1 for _ in (folder / "images").iterdir())
    return counts


def _order(corrupted: list[tuple[dict, str, int | None]], seed: int) -> list[int]:
    """The shuffled indices of all records; a duplicate comes after its original."""
    order = stream(seed, "order").sample(range(len(corrupted)), len(corrupted))
    rank = {place: number for number, place in enumerate(order)}
    for place, (_, _, original) in enumerate(corrupted):
        if original is not None and rank[place] < rank[original]:
            rank[place], rank[original] = rank[original], rank[place]
    return sorted(rank, key=rank.__getitem__)


def _records(folder: Path, plan: DataPlan, split: str) -> Iterator[dict]:
    """Yield records without defects or ids: conversations to train on, or single questions to test."""
    for name, number in plan.amounts(split).items():
        task = tasks.TASKS[name]
        reasoning = "field" if plan.thinking else "tags" if task.thinks else "lines"
        for example in tasks.examples(name, plan.seed, split, number):
            stem = f"images/{name}-{digest(example.key)[:8].hex()}"
            asked = example.tested if split == "test" else len(example.turns) - 1
            turns = example.turns[: asked + 1]
            turn = turns[-1]
            drawings = [example.draw or turns[0].draw, *(later.draw for later in turns[1:])]
            shown = [
                draw and _written(folder, f"{stem}{f'-{place}' if place else ''}.png", draw)
                for place, draw in enumerate(drawings)
            ]
            if split == "test":
                messages = tasks.messages(turns[:-1], shown[:-1], reasoning=reasoning)
                messages.append(tasks.question(turn, shown[-1]))
            else:
                crops = [
                    _written(folder, f"{stem}-crop-{place}.png", look.draw)
                    for place, look in enumerate(tasks.returned(turns))
                ]
                messages = tasks.messages(turns, shown, crops, reasoning=reasoning)
            yield {
                "messages": messages,
                "answer": turn.answer,
                "task": tasks.TASKS[name].task,
                "source": f"tiny/{name}",
                **example.fields,
            }


def _written(folder: Path, path: str, draw: "Callable[[], Image]") -> str:
    """Write an image of an example, named by its content; return its path in records."""
    draw().save(folder / path, compress_level=1)
    return path
