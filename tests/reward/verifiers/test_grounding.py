"""Grounding: pairs are the best there are, and neither a flood nor a wrong label pays."""

import itertools
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verdicts import verify

from qvl.reward import Unverifiable
from qvl.reward.reading import boxes, matching
from qvl.reward.verdict import unverifiable
from qvl.reward.verifiers import grounding

CAT = {"bbox_2d": [100, 100, 300, 300], "label": "cat"}
DOG = {"bbox_2d": [500, 500, 700, 900], "label": "dog"}


def score(answer, content, question="", task="grounding"):
    messages = [{"role": "user", "content": question}]
    record = {"id": "r", "task": task, "answer": answer, "messages": messages}
    content = content if isinstance(content, str) else json.dumps(content)
    return verify(record, {"content": content})


@pytest.mark.parametrize(
    "content",
    [
        [CAT],
        CAT,
        [100, 100, 300, 300],
        [{"bbox_2d": [100, 100, 300, 300]}],
        [{"label": "cat", "bbox_2d": [100.0, 100, 300, 300.0]}],
        'It is here:\n```json\n[{"bbox_2d": [100, 100, 300, 300], "label": "cat"},]\n```\nDone.',
        "It is at [100, 100, 300, 300].",
        "{'bbox_2d': [100, 100, 300, 300], 'label': 'the cat'}",
        "<box>(100,100),(300,300)</box>",
        "[[100, 100], [300, 300]]",
        "\\boxed{[100, 100, 300, 300]}",
        "100, 100, 300, 300",
        "<think>[1, 2, 3, 4]</think>[100, 100, 300, 300]",
        "First [1, 2, 3, 4]?\n<answer>[100, 100, 300, 300]</answer>",
        '[{"bbox_2d": [100, 100, 300, 300], "label": "c',
    ],
)
def test_a_box_is_read_in_any_form(content):
    assert score([CAT], content) == 1


@pytest.mark.parametrize(
    "content",
    [
        "",
        "none",
        "[100, 100, 300]",
        "[100, 100, 300, 300, 300]",
        "<think>[100, 100, 300, 300]",
        [300, 300, 100, 100],
        [100, 300, 300, 100],
        [CAT | {"label": "dog"}],
        [CAT] * 200,
        "[" * 100_000,
        "Locate the cat. Report bbox coordinates in JSON format.",
        f"[{'9' * 400}, 100, 300, 300]",
    ],
)
def test_what_is_no_answer_scores_nothing(content):
    assert score([CAT], content) == 0


@pytest.mark.parametrize(
    "content",
    [
        "[100, 200, 300, 400,]",
        "[100., 200., 300., 400.]",
        "[ 100.0 , 200.0 , 300.0 , 400.0 , ]",
        '["100", "200", "300", "400"]',
        "['100', '200', '300', '400']",
        '[{"bbox_2d": ["100.0", "200.0", "300.0", "400.0",],},]',
        "[100 200 300 400]",
        "（100，200，300，400）",
        "(100,200),(300,400)",
        "[[100, 200], [300, 400]]",
        '{"x1": 100, "y1": 200, "x2": 300, "y2": 400}',
        '{"xmin": "100", "ymin": 200, "xmax": 300, "ymax": 400}',
        "100, 200, 300, 400.",
        "**[100, 200, 300, 400]**",
    ],
)
def test_numbers_of_a_box_are_read_as_people_and_models_write_them(content):
    assert score([100, 200, 300, 400], content) == 1
    assert score([500, 200, 600, 400], content) < 0.5


@pytest.mark.parametrize(
    "content",
    ["[200, 300,]", '["200", "300"]', "[200., 300.]", "(200 300)", '{"point_2d": ["200", "300",]}', '{"x": 200, "y": 300}', "（200，300）"],
)  # fmt: skip
def test_numbers_of_a_point_are_read_as_people_and_models_write_them(content):
    assert score([200, 300], content, task="pointing") == 1
    assert score([700, 300], content, task="pointing") == 0


def test_digits_are_not_split_into_coordinates():
    assert boxes.boxes_in("[1001 2002]") == [] == boxes.boxes_in("[1234, 5678]")


def test_hacks_cost_their_share():
    assert score([CAT], [CAT, CAT]) == 0.5
    assert score([CAT], [CAT] * 100) == 0.01
    assert score([CAT], [0, 0, 1000, 1000]) == pytest.approx(0.04)
    assert score([CAT], [-10000, -10000, 10000, 10000]) < 0.001
    everywhere = [[x, y, x + 200, y + 200] for x in range(0, 800, 100) for y in range(0, 800, 100)]
    assert score([CAT], everywhere) == pytest.approx(1 / 64)


def test_several_boxes_match_in_any_order_by_label():
    assert score([CAT, DOG], [DOG, CAT]) == 1
    assert score([CAT, DOG], [CAT]) == 0.5
    assert score([CAT, DOG], [CAT, DOG, [1, 1, 9, 9]]) == pytest.approx(2 / 3)
    swapped = [CAT | {"label": "dog"}, DOG | {"label": "cat"}]
    assert score([CAT, DOG], swapped) == 0
    assert score([CAT, DOG], [CAT["bbox_2d"], DOG["bbox_2d"]]) == 0
    unlabelled = [CAT["bbox_2d"], DOG["bbox_2d"]]
    assert score(unlabelled, [DOG, CAT]) == 1


def test_the_pairs_are_those_of_the_largest_sum():
    """The most similar pair first would leave the other two apart: 0.9 / 2 in place of 1.6 / 2."""
    assert matching.share([[0.9, 0.8], [0.8, 0.0]]) == pytest.approx(0.8)


def test_points_count_if_the_question_asks_for_them():
    inside, outside = '[{"point_2d": [300, 200], "label": "cat"}]', '{"point_2d": [301, 200]}'
    for question, task in (("Point to the cat.", "grounding"), ("Where?", "pointing")):
        assert score([CAT], inside, question, task) == 1
        assert score([CAT], "(120, 200)", question, task) == 1
        assert score([CAT], outside, question, task) == 0
        assert score([CAT], [CAT], question, task) == 0
        assert score([CAT, DOG], f"{inside}, {outside}", question, task) == 0.5
    assert score([CAT], inside, "Locate the cat.") == 0
    assert score([CAT], inside, "Locate the point to the left as bbox_2d.") == 0
    assert score([{"point_2d": [500, 500]}], "[518, 524]") == 1
    assert score([{"point_2d": [500, 500]}], "[519, 524]") == 0
    assert score([{"point_2d": [500, 500]}], "[0, 0, 1000, 1000]") == 0


@pytest.mark.parametrize(
    "answer",
    [
        "left",
        3,
        [1, 2, 3],
        [[1, 2, 3, "4"]],
        [0, 0, 1500, 900],
        [5, 5, 5, 9],
        [[1, 2], [1, 2, 3, 4]],
    ],
)
def test_an_answer_that_is_no_box_is_unverifiable(answer):
    assert unverifiable({"task": "grounding", "answer": answer})
    with pytest.raises(Unverifiable):
        score(answer, [CAT])


def test_crossed_corners_of_a_reference_are_put_in_order():
    assert score([300, 300, 100, 100], [CAT]) == 1


def test_extracted_boxes_are_what_was_judged():
    assert grounding.extract({"content": json.dumps([CAT, [1, 2, 3, 4]])}) == [
        {"bbox_2d": [100, 100, 300, 300], "label": "cat"},
        {"bbox_2d": [1, 2, 3, 4]},
    ]
    assert grounding.extract({"content": '{"point_2d": [1, 2]}'}) == [{"point_2d": [1, 2]}]


def test_no_text_takes_long():
    for piece in (
        "[",
        "{",
        "[1,",
        '{"label":"',
        "(1,2),",
        " ",
        "{'label':'\\",
        "[1,2,3,4]",
        "9",
        "```",
    ):
        begin = time.process_time()
        score([CAT], piece * (300_000 // len(piece)))
        assert time.process_time() - begin < 2, piece


coordinates = st.integers(0, 1000)
sides = st.tuples(*[coordinates] * 4).filter(lambda box: box[0] != box[2] and box[1] != box[3])
box = sides.map(lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])))


@given(box, box)
def test_iou_is_symmetric_and_one_for_itself_alone(a, b):
    assert 0 <= boxes.iou(a, b) == boxes.iou(b, a) <= 1
    assert (boxes.iou(a, b) == 1) == (a == b)


@settings(deadline=None)  # the first call imports scipy
@given(st.lists(box, min_size=1, max_size=4), st.lists(box, min_size=1, max_size=4))
def test_the_pairing_is_the_best_of_all(gold, found):
    table = [[boxes.iou(a, b) for b in found] for a in gold]
    if len(gold) > len(found):
        table = [list(row) for row in zip(*table, strict=True)]
    rows = range(len(table))
    best = max(
        sum(table[i][j] for i, j in zip(rows, order, strict=True))
        for order in itertools.permutations(range(len(table[0])), len(table))
    )
    expected = best / max(len(gold), len(found))
    assert score([list(b) for b in gold], [list(b) for b in found]) == pytest.approx(expected)


@settings(deadline=None)  # the first call imports scipy
@given(st.lists(box, min_size=1, max_size=5), st.lists(box, max_size=5))
def test_one_more_box_of_no_use_never_pays(gold, found):
    answer, places = [list(b) for b in gold], [list(b) for b in found]
    if len(places) >= len(answer):
        assert score(answer, [*places, [0, 0, 0, 0]]) <= score(answer, places)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_has_a_score(text):
    assert 0 <= score([CAT, DOG], text) <= 1
