"""Detection: COCO's mean average precision of the boxes of answers, each with a confidence of 1.

A response states no confidences, so all are equal and boxes count in the order of images and of the answer, as
in the evaluation of Qwen3-VL and in pycocotools, whose sort is stable. AP is the mean of the precision at 101
levels of recall, mAP its mean over IoU thresholds from 0.50 to 0.95 and over the categories that have a reference
(COCO's metrics, Lin et al. 2014, arXiv 1405.0312). Crowd regions are not supported: the boxes of ODinW have none.

The reward of a response alone is that of qvl.reward.verifiers.grounding, by category.
"""

import bisect
from collections import defaultdict

from qvl.reward.reading.answer_block import answer_block
from qvl.reward.reading.boxes import Located, boxes_in, iou, references
from qvl.reward.verifiers import grounding

THRESHOLDS = [0.5 + 0.05 * step for step in range(10)]
RECALLS = [step / 100 for step in range(101)]
MOST = 100  # boxes of a category in an image, as in COCO


def score(record: dict, response: dict) -> float:
    """The grounding reward; 1 for no boxes where there are none."""
    if not record["answer"]:
        return float(not boxes_in(answer_block(response)))
    return grounding.score(record, response)


def extract(response: dict) -> list[dict]:
    return grounding.extract(response)


class MeanAveragePrecision:
    """mAP over the first response of each record."""

    def __init__(self) -> None:
        self._gold: defaultdict[str, int] = defaultdict(int)
        self._matches: defaultdict[str, list[list[bool]]] = defaultdict(list)
        """category -> per box in order, whether it matches at each threshold"""

    def add(self, record: dict) -> None:
        found = boxes_in(answer_block(record["responses"][0]))
        gold = references(record["answer"]) if record["answer"] else []
        for category in {_name(each) for each in (*gold, *found)}:
            ours = [each for each in found if _name(each) == category][:MOST]
            theirs = [each for each in gold if _name(each) == category]
            self._gold[category] += len(theirs)
            self._matches[category] += _matched(ours, theirs)

    def values(self) -> dict[str, float]:
        known = [name for name, number in self._gold.items() if number]
        by_threshold = [
            [
                _precision([row[at] for row in self._matches[name]], self._gold[name])
                for name in known
            ]
            for at in range(len(THRESHOLDS))
        ]
        means = [sum(row) / len(row) if row else 0.0 for row in by_threshold]
        return {"mAP": sum(means) / len(means), "AP50": means[0], "AP75": means[5]}


def _name(place: Located) -> str:
    return " ".join(place.label.casefold().split())


def _matched(found: list[Located], gold: list[Located]) -> list[list[bool]]:
    """Per box in order and threshold, whether it takes a reference that no earlier box has taken."""
    rows = [[False] * len(THRESHOLDS) for _ in found]
    overlaps = [[iou(one.place, other.place) for other in gold] for one in found]
    for at, least in enumerate(THRESHOLDS):
        free = set(range(len(gold)))
        for row, overlap in zip(rows, overlaps, strict=True):
            # COCO takes the last of several that overlap alike.
            best = max(free, key=lambda each: (overlap[each], each), default=None)
            if best is not None and overlap[best] >= min(least, 1 - 1e-10):
                free.discard(best)
                row[at] = True
    return rows


def _precision(hits: list[bool], gold: int) -> float:
    """The mean over RECALLS of the best precision at that recall or a higher one; 0 where none reaches it."""
    precisions, recalls, right = [], [], 0
    for number, hit in enumerate(hits, 1):
        right += hit
        precisions.append(right / number)
        recalls.append(right / gold)
    for at in range(len(precisions) - 2, -1, -1):
        precisions[at] = max(precisions[at], precisions[at + 1])
    places = [bisect.bisect_left(recalls, level) for level in RECALLS]
    return sum(precisions[at] for at in places if at < len(precisions)) / len(RECALLS)
