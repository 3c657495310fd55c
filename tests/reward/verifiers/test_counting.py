"""Counting: one number, however it is written, and none where several are listed."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verdicts import verify

from qvl.reward import Unverifiable
from qvl.reward.verifiers import counting


def score(answer, content):
    return verify({"id": "r", "task": "counting", "answer": answer}, {"content": content})


@pytest.mark.parametrize(
    ("number", "texts"),
    [
        (
            3,
            [
                "3",
                "3.",
                "3.0",
                "**3**",
                "３",
                "\\boxed{3}",
                "<think>4</think>3",
                "2?\n<answer>3</answer>",
                "There are 3 squares.",
                "three",
                "Three squares",
                "3 (three)",
                "3 (2 red, 1 blue)",
                "(3)",
                "2 red + 1 blue = 3",
                "2 red and 1 blue, so 3",
                "2 red and 1 blue, 3 in all.",
                '{"count": 3}',
                "the red one has 3",
                "图中有3个正方形。",
                "三",
                "一共有三个",
                "两个红的和一个蓝的，一共三个。",
            ],
        ),
        (0, ["0", "zero", "none", "None.", "There are no squares.", "没有"]),
        (1, ["1", "one", "There is one.", "一个"]),
        (12, ["12", "twelve", "a dozen", "十二"]),
        (21, ["twenty-one", "Twenty one", "二十一个"]),
        (24, ["two dozen"]),
        (105, ["one hundred and five", "一百零五"]),
        (1234, ["1,234", "1234", "一千二百三十四"]),
        (20000, ["两万", "20,000"]),
    ],
)
def test_a_number_is_read_in_any_form(number, texts):
    for text in texts:
        assert score(number, text) == 1, text
        assert score(str(number), text) == 1, text
        assert score(number + 1, text) == 0, text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<think>3",
        "0 1 2 3",
        '"answer": 0 1 2 3',
        "3 4",
        "4, 3",
        "3 or 4",
        "3-4",
        "between 3 and 4",
        "one two three",
        "How many squares are there?",
        "3%",
        "3/4",
        "3.5",
        "v3.0.1",
        "Q3",
        "1, 2, 3, 4, 5, 6, 7",
        "-3",
        "3 " + "x" * 2000,
        "第三个",
        "9" * 5000,
    ],
)
def test_what_names_no_number_or_several_scores_nothing(text):
    assert score(3, text) == 0


@pytest.mark.parametrize("answer", ["many", "2.5", 2.5, [3], True, "3 or 4", "", None])
def test_an_answer_that_is_no_count_is_unverifiable(answer):
    with pytest.raises(Unverifiable):
        score(answer, "3")


@given(st.integers(0, 99_999))
def test_digits_and_words_are_one_number(number):
    assert counting.count(f"{number:,}") == counting.count(f"There are {number}.") == number


@given(st.text(max_size=40))
def test_any_text_has_a_count_that_json_can_hold(text):
    json.dumps(counting.extract({"content": text}))


def test_no_text_takes_long():
    for piece in ("1,111", "one hundred ", "9", "一", "(", " ", "a dozen", "\n", "3 so "):
        begin = time.process_time()
        score(3, piece * (900 // len(piece)))
        score(3, piece * (300_000 // len(piece)))
        assert time.process_time() - begin < 1, piece
