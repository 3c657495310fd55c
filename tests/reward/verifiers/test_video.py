"""Video: spans by tIoU, one to one, however a time is written."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verdicts import verify

from qvl.reward import Unverifiable
from qvl.reward.verifiers import video


def score(answer, content):
    return verify({"id": "r", "task": "video", "answer": answer}, {"content": content})


@pytest.mark.parametrize(
    "content",
    [
        "12.5s - 20s",
        "12.5-20",
        "12.5 s \u2013 20 s",
        "from 12.5 to 20 seconds",
        "Between 12.5 and 20.",
        "[12.5, 20]",
        "[[12.5, 20.0]]",
        "00:12.5 - 00:20",
        "0:00:12.50 to 0:00:20.00",
        "It happens at <12.5 seconds> to <20.0 seconds>.",
        '{"start": 12.5, "end": 20}',
        '```json\n[{"start_time": "00:12.5", "end_time": "00:20", "label": "jump"}]\n```',
        "\\boxed{12.5 - 20}",
        "<answer>12.5 to 20</answer>",
        "<think>1 to 2</think>12.5 to 20",
        "First 1 to 2, then 3 to 4.\n\nSo: 12.5 to 20",
        "12.5秒到20秒",
        "12.5s until 20s",
        "It starts at 12.5 seconds and ends at 20 seconds.",
        "It begins at 12.5 seconds. It ends at 20 seconds.",
        "begins at 12.5s and finishes at 20s",
        "It starts at 12.5s and lasts until 20s.",
        "Start time: 12.5 s\nEnd time: 20 s",
        "start=12.5, end=20",
        "00:00:12.500 --> 00:00:20.000",
        "00:00:12,500 --> 00:00:20,000",
        "12.5s -> 20s",
        "12.5s → 20s",
        "从第12.5秒到第20秒",
        "第12.5秒开始，第20秒结束",
        "[12.5, 20.]",
        '["12.5", "20",]',
        "**12.5s - 20s**",
    ],
)
def test_a_span_is_read_in_any_form(content):
    assert score([12.5, 20], content) == 1
    assert score(["00:12.5", "00:20"], content) == 1


def test_minutes_and_hours():
    assert video.spans("1 min 5 s to 1 min 9 s") == [(65, 69)]
    assert video.spans("1:02:03 - 1:02:10") == [(3723, 3730)]
    assert video.spans("1.5 minutes to 2 minutes") == [(90, 120)]
    assert video.spans("1分5秒至1分9秒") == [(65, 69)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", 0),
        ("<think>10 to 20", 0),
        ("15 to 25", 1 / 3),
        ("20 to 30", 0),
        ("20 to 10", 0),
        ("10 to 10", 0),
        ("10", 0),
        ("10 20", 0),
        ("0 to 100", 0.1),
        ("10 to 20, 10 to 20", 0.5),
        ("; ".join(f"{i} to {i + 10}" for i in range(0, 300, 10)), 1 / 30),
        ("10 to 20; " * 100, 0),
        ("When does it happen?", 0),
        ("9" * 4000 + " to 20", 0),
    ],
)
def test_a_single_span_scores_its_share(content, expected):
    assert score([10, 20], content) == pytest.approx(expected)


def test_several_spans_match_in_any_order():
    gold = [[0, 10], {"start": 20, "end": "00:30"}]
    assert score(gold, "20s - 30s, 0s - 10s") == 1
    assert score(gold, "0:00 - 0:10") == 0.5
    assert score("0-10; 20-30", "0-10\n20-30\n40-50") == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "answer",
    ["late", 5, [5], [20, 10], [5, 5], [1, 2, 3], {"start": 1}, [None, 3], [True, 3], [-3, 5]],
)
def test_an_answer_that_is_no_span_is_unverifiable(answer):
    with pytest.raises(Unverifiable):
        score(answer, "1 to 2")


def test_extracted_spans_are_json():
    assert json.loads(json.dumps(video.extract({"content": "1:00 to 1:10"}))) == [[60, 70]]


moment = st.integers(0, 6000).map(lambda tenths: tenths / 10)
span = st.tuples(moment, moment).filter(lambda s: s[0] < s[1])


@given(span, span)
def test_tiou_is_symmetric_and_one_for_itself_alone(a, b):
    assert 0 <= video.tiou(a, b) == video.tiou(b, a) <= 1
    assert (video.tiou(a, b) == 1) == (a == b)
    assert score(list(a), f"{b[0]}s to {b[1]}s") == pytest.approx(video.tiou(a, b))


@given(st.text("0123456789:.-s to,[]", max_size=30))
def test_any_text_has_a_score(text):
    assert 0 <= score([10, 20], text) <= 1


def test_no_text_takes_long():
    for piece in ("1:", "1 to ", "9", "1.", " ", "1 min ", "[1,", "'start':", "1-", "\n\n"):
        begin = time.process_time()
        score([10, 20], piece * (300_000 // len(piece)))
        assert time.process_time() - begin < 3, piece
