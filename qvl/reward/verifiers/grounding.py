"""Grounding: the boxes or points of a response against the reference's.

    reward = sum over the best one-to-one pairs of their similarity / max(expected, found)

The similarity of two boxes is their intersection over union, so one box at 0.5 is RefCOCO's
threshold; that of a point is 1 in the box (or within POINT_RADIUS of a reference point), else 0.
Pairs with different labels have none. Each extra or missing box costs its share, a repeated box too.
Crossed corners and coordinates outside the image are not corrected.

Other implementations pair greedily by IoU (V-Triune), which misses the best assignment; add a pixel to each
side, which favours small boxes, and give a point for any box (VisionReasoner); read only the first list, or
nothing if one comma is wrong.
"""

import re
from typing import Any

from qvl import record as records
from qvl.reward import Unverifiable, reference
from qvl.reward.reading.answer_block import answer_block
from qvl.reward.reading.boxes import LARGEST, Located, boxes_in, inside, iou, points_in, references
from qvl.reward.reading.matching import share
from qvl.reward.verifiers.exact import normal

MOST = 120  # places of a response, or twice the reference's if that is more (as in VisionReasoner)
POINT_RADIUS = 30  # thousandths of a side; VisionReasoner has 30 pixels

_ASKS_FOR_POINTS = re.compile(
    r"point_2d|\bpoint (?:to|at|out|coordinates)\b|点出|点坐标", re.IGNORECASE
)
_ASKS_FOR_BOXES = re.compile(r"\bbbox|\bbounding box", re.IGNORECASE)
_WORD = re.compile(r"\w+")


def score(record: dict, response: dict) -> float:
    """The reward from 0 to 1; more than MOST places, and more than twice the reference's, score 0.

    Points are expected if the reference has points, or the task is "pointing", or the last
    question says "point to" or "point_2d" and no box; else boxes are. The other kind is ignored.
    """
    gold = _gold(record)
    points = _wants_points(record, gold)
    text = answer_block(response)
    found = points_in(text) if points else boxes_in(text)
    if len(found) > max(MOST, 2 * len(gold)):
        return 0.0
    several = len({normal(one.label) for one in gold}) > 1
    return share([[_similarity(one, each, several) for each in found] for one in gold])


def extract(response: dict) -> list[dict[str, Any]]:
    """The boxes of the response, else its points, as Qwen3-VL writes them; the first MOST."""
    text = answer_block(response)
    return [
        {"bbox_2d" if len(one.place) == 4 else "point_2d": list(one.place)}
        | ({"label": one.label} if one.label else {})
        for one in (boxes_in(text) or points_in(text))[:MOST]
    ]


_latest: tuple[Any, list[Located]] = None, []


def _gold(record: dict) -> list[Located]:
    """The boxes or points of a reference, which many responses share."""
    global _latest
    answer = reference(record)
    if _latest[0] is answer:
        return _latest[1]
    gold = references(answer)
    shown = repr(answer)[:200]
    if not gold or len({len(one.place) for one in gold}) > 1:
        raise Unverifiable(
            f"answer: expected boxes [left, top, right, bottom] or points [x, y], got {shown}"
        )
    for one in gold:
        if not all(0 <= value <= LARGEST for value in one.place):
            raise Unverifiable(f"answer: expected coordinates from 0 to {LARGEST}, got {shown}")
        if len(one.place) == 4 and not iou(one.place, one.place):
            raise Unverifiable(f"answer: expected boxes with an area, got {shown}")
    _latest = answer, gold
    return gold


def wants_points(record: dict) -> bool:
    """Whether a response should give points, not boxes. Unverifiable without a valid reference."""
    return _wants_points(record, _gold(record))


def _wants_points(record: dict, gold: list[Located]) -> bool:
    if record.get("task") == "pointing" or len(gold[0].place) == 2:
        return True
    question = records.question(record)
    return bool(_ASKS_FOR_POINTS.search(question)) and not _ASKS_FOR_BOXES.search(question)


def _similarity(gold: Located, found: Located, several: bool) -> float:
    if not _same_label(gold.label, found.label, several):
        return 0.0
    if len(found.place) == 4:
        return iou(gold.place, found.place)
    if len(gold.place) == 4:
        return float(inside(found.place, gold.place))
    x, y = (a - b for a, b in zip(gold.place, found.place, strict=True))
    return float(x * x + y * y <= POINT_RADIUS * POINT_RADIUS)


def _same_label(gold: str, found: str, several: bool) -> bool:
    """Whether two labels agree.

    several: the reference has several labels, which must be equal except for case. Otherwise a label
    may be missing, and one common word is enough ("circle" for "red circle").
    """
    one, other = normal(gold), normal(found)
    if several or one == other:
        return one == other
    words = set(_WORD.findall(one))
    return not one or not other or not words or bool(words & set(_WORD.findall(other)))
