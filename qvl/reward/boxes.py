"""Boxes against the reference's, by intersection over union, in Qwen3-VL's 0 to 1000 coordinates."""

import itertools
import re
from typing import Any

import orjson

from qvl.reward import Unverifiable, reference
from qvl.reward.extract import spoken

MAX_BOXES = 120  # of a response; more is a flood (VisionReasoner's bound, arXiv 2505.12081)
_FOUR = re.compile(r"\[\s*(-?\d+(?:\.\d+)?(?:\s*,\s*-?\d+(?:\.\d+)?){3})\s*\]")

Box = tuple[float, float, float, float]  # left, top, right, bottom


def score(record: dict, response: dict) -> float:
    """The IoU of best matched pairs, summed, over the larger number of boxes.

    So a box too many or too few costs its share. One box at IoU 0.5 is RefCOCO's threshold.
    """
    gold = boxes(reference(record))
    if not gold:
        answer = repr(record["answer"])[:200]
        raise Unverifiable(f"boxes [left, top, right, bottom] are expected as answer, not {answer}")
    found = extract(response)
    pairs = sorted(
        (
            (iou(a, b), i, j)
            for (i, a), (j, b) in itertools.product(enumerate(gold), enumerate(found))
        ),
        key=lambda pair: -pair[0],
    )
    total, used_gold, used_found = 0.0, set(), set()
    for overlap, i, j in pairs:
        if i not in used_gold and j not in used_found:
            total += overlap
            used_gold.add(i)
            used_found.add(j)
    return total / max(len(gold), len(found))


def extract(response: dict) -> list[Box]:
    """The boxes of the response, the first MAX_BOXES of them."""
    return in_text(spoken(response))[:MAX_BOXES]


def in_text(text: str) -> list[Box]:
    """Every [a, b, c, d] of a text; a box whose sides are crossed is none, but counts as one."""
    return [_box([float(x) for x in match.split(",")]) for match in _FOUR.findall(text)]


def boxes(answer: Any) -> list[Box]:
    """The boxes of a reference: one or several lists of four, with or without bbox_2d around."""
    if isinstance(answer, str):
        return in_text(answer)
    if isinstance(answer, dict):
        return boxes(answer.get("bbox_2d", []))
    if isinstance(answer, list):
        return in_text(orjson.dumps(answer).decode())
    return []


def iou(a: Box, b: Box) -> float:
    """Intersection over union; 0 where either has no area."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (_area(a) + _area(b) - both)


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def _box(values: list[float]) -> Box:
    left, top, right, bottom = values
    return left, top, right, bottom
