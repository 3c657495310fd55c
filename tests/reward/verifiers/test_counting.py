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
                "\uff13",
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
                "\u56fe\u4e2d\u67093\u4e2a\u6b63\u65b9\u5f62\u3002",
                "\u4e09",
                "\u4e00\u5171\u6709\u4e09\u4e2a",
                "\u4e24\u4e2a\u7ea2\u7684\u548c\u4e00\u4e2a\u84dd\u7684\uff0c\u4e00\u5171\u4e09\u4e2a\u3002",
            ],
        ),
        (0, ["0", "zero", "none", "None.", "There are no squares.", "\u6ca1\u6709"]),
        (1, ["1", "one", "There is one.", "\u4e00\u4e2a"]),
        (12, ["12", "twelve", "a dozen", "\u5341\u4e8c"]),
        (21, ["twenty-one", "Twenty one", "\u4e8c\u5341\u4e00\u4e2a"]),
        (24, ["two dozen"]),
        (105, ["one hundred and five", "\u4e00\u767e\u96f6\u4e94"]),
        (1234, ["1,234", "1234", "\u4e00\u5343\u4e8c\u767e\u4e09\u5341\u56db"]),
        (20000, ["\u4e24\u4e07", "20,000"]),
    ],
)
def test_a_number_is_read_however_it_is_written(number, texts):
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
        "\u7b2c\u4e09\u4e2a",
        "9" * 5000,
    ],
)
def test_what_names_no_number_or_several_scores_nothing(text):
    assert score(3, text) == 0


@pytest.mark.parametrize("answer", ["many", "2.5", 2.5, [3], True, "3 or 4", "", None])
def test_an_answer_that_is_no_count_is_told(answer):
    with pytest.raises(Unverifiable):
        score(answer, "3")


@given(st.integers(0, 99_999))
def test_digits_and_words_are_one_number(number):
    assert counting.count(f"{number:,}") == counting.count(f"There are {number}.") == number


@given(st.text(max_size=40))
def test_any_text_has_a_count_that_json_can_hold(text):
    json.dumps(counting.extract({"content": text}))


def test_no_text_takes_long():
    for piece in ("1,111", "one hundred ", "9", "\u4e00", "(", " ", "a dozen", "\n", "3 so "):
        begin = time.process_time()
        score(3, piece * (900 // len(piece)))
        score(3, piece * (300_000 // len(piece)))
        assert time.process_time() - begin < 1, piece
