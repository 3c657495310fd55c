"""The metrics of benchmarks over a set, beside the community's own functions."""

import contextlib
import io
import json
import random
from typing import Any

import numpy as np
import pytest

from qvl.evaluate import metrics
from qvl.evaluate.measures import MEASURES
from qvl.evaluate.measures.detection import MeanAveragePrecision


def judged(reward, **fields):
    response = {"content": "", "reward": reward, "verdict": {"detail": fields.pop("detail", "")}}
    return {"id": "a", "responses": [response], **fields}


def measured(name, records):
    measure = MEASURES[name]()
    for record in records:
        measure.add(record)
    return measure.values()


def scene(seed, categories=("fish", "crab"), side=1000):
    """Gold boxes and found boxes of an image: near ones, doubles, strangers, and wrong labels."""
    draw = random.Random(seed)

    def box():
        x, y = draw.uniform(0, 0.7), draw.uniform(0, 0.7)
        return [x, y, x + draw.uniform(0.05, 0.3), y + draw.uniform(0.05, 0.3)]

    gold = [(draw.choice(categories), box()) for _ in range(draw.randint(0, 6))]
    found = []
    for label, corners in gold:
        if draw.random() < 0.8:
            near = [one + draw.uniform(-0.03, 0.03) for one in corners]
            found.append((label if draw.random() < 0.9 else "crab", near))
        if draw.random() < 0.2:
            found.append((label, corners))
    found += [(draw.choice(categories), box()) for _ in range(draw.randint(0, 2))]
    draw.shuffle(found)

    def scaled(pairs):
        return [
            {"bbox_2d": [round(side * one) for one in corners], "label": label}
            for label, corners in pairs
        ]

    return scaled(gold), scaled(found)


def coco_map(scenes):
    """pycocotools' mAP, AP50 and AP75 of the same boxes."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    names = {"fish": 1, "crab": 2}

    def rows(boxes, image):
        for each in boxes:
            x1, y1, x2, y2 = each["bbox_2d"]
            yield {"image_id": image, "category_id": names[each["label"]], "iscrowd": 0,
                   "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}  # fmt: skip

    gold = [row for image, (boxes, _) in enumerate(scenes) for row in rows(boxes, image)]
    found = [row for image, (_, boxes) in enumerate(scenes) for row in rows(boxes, image)]
    with contextlib.redirect_stdout(io.StringIO()):
        truth: Any = COCO()
        truth.dataset = {
            "images": [{"id": image} for image in range(len(scenes))],
            "categories": [{"id": number, "name": name} for name, number in names.items()],
            "annotations": [{**row, "id": number + 1} for number, row in enumerate(gold)],
        }
        truth.createIndex()
        results = truth.loadRes([{**row, "score": 1.0} for row in found])
        run = COCOeval(truth, results, "bbox")
        run.params.areaRng = [[0, 1e10]] * 4
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats[:3]


@pytest.mark.parametrize("seed", range(6))
def test_map_equals_pycocotools(seed):
    scenes = [scene(f"{seed}/{image}") for image in range(30)]
    measure = MeanAveragePrecision()
    for gold, found in scenes:
        measure.add({"answer": gold, "responses": [{"content": json.dumps(found)}]})
    values = measure.values()
    assert np.allclose(
        [values[name] for name in ("mAP", "AP50", "AP75")], coco_map(scenes), atol=1e-9
    )
    assert 0.05 < values["mAP"] < 0.95


def test_map_without_any_box_is_0_and_a_perfect_answer_1():
    gold, _ = scene("0/1")
    for content, expected in (("nothing", 0.0), (json.dumps(gold), 1.0)):
        measure = MeanAveragePrecision()
        measure.add({"answer": gold, "responses": [{"content": content}]})
        assert measure.values()["mAP"] == pytest.approx(expected)


def test_hallusionbench_counts_questions_and_figures_that_are_all_right():
    places = [("s", "0", "0"), ("s", "0", "1"), ("s", "1", "0"), ("t", "0", "0")]
    rights = [1, 1, 0, 1]
    records = [
        judged(right, subcategory=kind, set_id="1", figure_id=figure, question_id=question)
        for right, (kind, figure, question) in zip(rights, places, strict=True)
    ]
    found = measured("hallusion", records)
    # questions: s0 (figures 0, 1): wrong; s1: right; t0: right. figures: s0 right, s1 wrong, t0 right
    assert found == pytest.approx({"aAcc": 3 / 4, "qAcc": 2 / 3, "fAcc": 2 / 3})
    by_index = [
        {**judged(right, **{"l2-category": kind}), "id": f"hallusionbench-VD_{kind}_1_1_{figure}_{question}"}
        for right, (kind, figure, question) in zip(rights, places, strict=True)
    ]  # fmt: skip
    assert measured("hallusion", by_index) == pytest.approx(found)


def test_ifeval_counts_prompts_and_constraints():
    two = {"answer": {"instruction_id_list": ["a", "b"]}}
    records = [judged(1.0, **two), judged(0.0, detail="not kept: a, b", **two)]
    records.append(judged(0.0, detail="not kept: b", **two))
    assert measured("constraints", records) == pytest.approx(
        {"prompts": 1 / 3, "constraints": 3 / 6}
    )


def test_spans_have_a_mean_and_shares():
    found = measured("spans", [judged(0.6), judged(0.4), judged(0.0)])
    assert found == pytest.approx({"mIoU": 1 / 3, "IoU 0.3": 2 / 3, "IoU 0.5": 1 / 3, "IoU 0.7": 0})


@pytest.mark.parametrize(
    ("k", "samples", "right", "chance"),
    [(1, 4, 1, 0.25), (2, 4, 1, 0.5), (4, 4, 1, 1), (3, 4, 0, 0)],
)
def test_pass_at_k_is_the_chance_that_one_of_k_is_right(k, samples, right, chance):
    assert metrics.pass_at(k, samples, right) == pytest.approx(chance)


def test_a_benchmark_s_metric_is_its_accuracy_and_the_other_figures_stand_below():
    tally = metrics.Tally("source", pass_at=[2, 9])
    for reward in (0.4, 0.9):
        record = {"source": "docvqa", "benchmark": "docvqa", "task": "ocr", "answer": "x"}
        tally.add({**record, "responses": [{"reward": reward}, {"reward": reward}]})
    row, together = tally.rows()
    assert row["accuracy"] == pytest.approx(0.65) == together["accuracy"]
    assert row["metrics"] == pytest.approx({"mean": 0.65, "pass@2": 0.5})
    assert metrics.figures([row]) == ["docvqa: mean 65.0, pass@2 50.0"]
