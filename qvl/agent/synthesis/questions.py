"""Questions about objects that have one answer, by templates: an attribute, what is written, how many.

Each names what a closer look is needed at. What would be ambiguous is not asked: an object is named by its
label only where no other has it, and objects are counted in a part of the image only where none lies on its
border.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from qvl import prompts
from qvl.agent.reward import area, clipped, shared
from qvl.agent.synthesis.annotations import Thing

KINDS = {"attribute": "vqa", "reading": "ocr", "counting": "counting"}  # kind -> task
MAX_AREA = 0.05  # of the image: larger objects need no closer look. Our choice
MAX_TEXT = 80  # characters to read: our choice
MAX_COUNT = 20  # our choice
INSIDE, OUTSIDE = 0.95, 0.05  # shares of an object in a part of the image: our choice
MARGIN = 0.15  # of an object's sides, around it in the crop: our choice
PARTS = {
    "upper left": (0, 0, 500, 500),
    "upper right": (500, 0, 1000, 500),
    "lower left": (0, 500, 500, 1000),
    "lower right": (500, 500, 1000, 1000),
}

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Question:
    """A question, and how it is answered."""

    kind: str
    text: str
    thought: str
    """Before the call."""
    label: str
    """Of the call."""
    box: Box
    """Of the call, in thousandths."""
    evidence: tuple[float, float, float, float]
    """What must be seen."""
    reading: str
    """The thought after it."""
    answer: str


def questions(
    objects: Sequence[Thing], rng: Random, max_area: float = MAX_AREA
) -> Iterator[Question]:
    """All questions that can be asked of an image, in random order."""
    found = [*_of_single(objects, rng, max_area), *_counting(objects, rng)]
    rng.shuffle(found)
    return iter(found)


def _of_single(objects: Sequence[Thing], rng: Random, max_area: float) -> Iterator[Question]:
    labels = Counter(each.label for each in objects)
    for each in objects:
        if labels[each.label] > 1 or each.crowd or each.area > max_area:
            continue
        for name, value in each.attributes.items():
            if value and value.casefold() not in f"{each.label} {name}".casefold().split():
                yield _made("attribute", rng, each, name=name, answer=value)
        if 0 < len(each.text.strip()) <= MAX_TEXT and "\n" not in each.text.strip():
            yield _made("reading", rng, each, answer=each.text.strip())


def _made(kind: str, rng: Random, thing: Thing, *, answer: str, name: str = "") -> Question:
    facts = {"label": thing.label, "name": name, "answer": answer}
    return _from_template(kind, rng, facts, thing.label, widened(thing.box), thing.box)


def _counting(objects: Sequence[Thing], rng: Random) -> Iterator[Question]:
    for label in sorted({each.label for each in objects}):
        same = [each for each in objects if each.label == label]
        if any(each.crowd for each in same):
            continue
        for part, box in PARTS.items():
            shares = [shared(each.box, box) / (area(clipped(each.box)) or 1.0) for each in same]
            if any(OUTSIDE < share < INSIDE for share in shares):
                continue
            count = sum(share >= INSIDE for share in shares)
            if 1 <= count <= MAX_COUNT:
                facts = {"label": label, "part": part, "answer": str(count)}
                label_of_call = f"{part} part of the image"
                yield _from_template("counting", rng, facts, label_of_call, box, box)


def _from_template(
    kind: str,
    rng: Random,
    facts: dict[str, str],
    label: str,
    box: Box,
    evidence: tuple[float, float, float, float],
) -> Question:
    lines = prompts.load(f"agent/{kind}").splitlines()
    text, thought, reading = rng.choice([each.split(" | ") for each in lines if each.strip()])
    return Question(
        kind,
        text.format(**facts),
        thought.format(**facts),
        label,
        box,
        evidence,
        reading.format(**facts),
        facts["answer"],
    )


def widened(box: Sequence[float]) -> Box:
    """A box with a margin, in whole thousandths within the image."""
    left, top, right, bottom = box
    across, down = MARGIN * (right - left), MARGIN * (bottom - top)
    return (
        max(0, round(left - across)),
        max(0, round(top - down)),
        min(1000, round(right + across)),
        min(1000, round(bottom + down)),
    )
