"""A raw set to curate and train on, and a clean one to evaluate with, as files of one folder."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.tiny import defects, tasks
from qvl.tiny.example import Sample, digest, stream

RAW, TEST, DEFECTS = "raw.jsonl.zst", "test.jsonl.zst", "defects.jsonl.zst"
DEFAULT_TRAIN = sum(tasks.TASKS[name].train for name in tasks.DEFAULT)


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """How much of what; all of it is our choice."""

    names: list[str] = field(default_factory=lambda: list(tasks.DEFAULT))
    seed: int = 0

    train: int | None = None
    """Training records before defects, shared as by default; None: the default amounts."""

    test: int = 1000
    """Held-out records, the same number of each task."""

    defect_share: float = 0.07
    """Of the training records; duplicates are added, the rest take a sound record's place."""

    thinking: bool = False
    """The steps of an answer are reasoning_content, not its first lines."""

    def amounts(self, split: str) -> dict[str, int]:
        """Task -> number of samples."""
        weights = {name: tasks.TASKS[name].train if split == "train" else 1 for name in self.names}
        whole = sum(weights.values())
        wanted = self.test if split == "test" else whole if self.train is None else self.train
        if wanted < len(weights):
            raise UserError(f"--{split} {wanted}: fewer than the {len(weights)} tasks")
        # Rounding the running total, so that the numbers add up to what was asked for.
        ends, total = [0], 0
        for weight in weights.values():
            total += weight
            ends.append(round(total * wanted / whole))
        return {name: ends[i + 1] - ends[i] for i, name in enumerate(weights)}


def write(folder: Path, plan: DataPlan) -> Counter[str]:
    """Write the set into an existing folder; how many of each task and defect there are."""
    (folder / "images").mkdir()
    counts: Counter[str] = Counter()
    spoilt = defects.spoil(
        list(_records(folder, plan, "train")), plan.defect_share, stream(plan.seed, "defects")
    )
    order = _order(spoilt, plan.seed)
    identity = {place: f"tiny-{number:06d}" for number, place in enumerate(order)}
    notes = []

    def raw() -> Iterator[dict]:
        for place in order:
            record, kind, original = spoilt[place]
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


def _order(spoilt: list[tuple[dict, str, int | None]], seed: int) -> list[int]:
    """The places of all records, shuffled; a copy comes after what it copies."""
    order = stream(seed, "order").sample(range(len(spoilt)), len(spoilt))
    rank = {place: number for number, place in enumerate(order)}
    for place, (_, _, original) in enumerate(spoilt):
        if original is not None and rank[place] < rank[original]:
            rank[place], rank[original] = rank[original], rank[place]
    return sorted(rank, key=rank.__getitem__)


def _records(folder: Path, plan: DataPlan, split: str) -> Iterator[dict]:
    """Sound records without an id: conversations to train on, or single questions to test."""
    for name, number in plan.amounts(split).items():
        for sample in tasks.samples(name, plan.seed, split, number):
            image = _image(folder, name, sample)
            turns = sample.turns if split == "train" else sample.turns[:1]
            messages = tasks.messages(turns, image, thinking=plan.thinking)
            yield {
                "messages": messages if split == "train" else messages[:-1],
                "answer": turns[-1].answer,
                "task": tasks.TASKS[name].task,
                "source": f"tiny/{name}",
            }


def _image(folder: Path, name: str, sample: Sample) -> str | None:
    """Write the sample's image; its path in records. The name is of what was drawn."""
    if sample.draw is None:
        return None
    path = f"images/{name}-{digest(sample.key)[:8].hex()}.png"
    sample.draw().save(folder / path, compress_level=1)
    return path
