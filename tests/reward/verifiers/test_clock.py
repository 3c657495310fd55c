"""Clock reading: the dial has twelve hours, and a list of times reads none of them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verdicts import verify

from qvl.reward import Unverifiable
from qvl.reward.verifiers import clock


def score(answer, content):
    return verify({"id": "r", "task": "clock", "answer": answer}, {"content": content})


@pytest.mark.parametrize(
    ("shown", "texts"),
    [
        (
            "3:05",
            [
                "3:05",
                "03:05",
                "15:05",
                "3:05 pm",
                "3:05 a.m.",
                "It is 3:05.",
                "**3:05**",
                "3.05 pm",
                "3h05",
                "3：05",
                "3:05:40",
                "five past three",
                "five minutes after 3",
                "three oh five",
                "<think>4:05</think>3:05",
                "\\boxed{3:05}",
                "The time is 3:05 (five past three).",
                '{"time": "3:05"}',
                "3点5分",
                "下午3点05分",
                "三点零五分",
                "现在是3点过5分",
            ],
        ),
        (
            "3:30",
            ["half past three", "3:30", "three thirty", "三点半", "3点半"],
        ),
        (
            "3:45",
            ["quarter to four", "a quarter to 4", "three forty-five", "三点三刻"],
        ),
        ("3:50", ["ten to four", "ten minutes to 4 pm", "差十分四点"]),
        ("12:50", ["ten to one", "0:50", "12:50", "00:50"]),
        ("12:00", ["noon", "midnight", "12 o'clock", "0:00", "24:00", "12 pm", "twelve o'clock"]),
        (
            "7:00",
            [
                "7 o'clock",
                "7 pm",
                "7pm",
                "19h",
                "seven o’clock",
                "seven am",
                "7点钟",
                "7点",
            ],
        ),
        ("15:05", ["15:05", "3:05 pm", "3:05"]),
        ("3:05 am", ["3:05 am", "03:05"]),
        ("3:05:10", ["3:05:10", "15:05:10", "3点5分10秒"]),
        (3, ["3:00", "three o'clock"]),
    ],
)
def test_a_time_is_read_in_any_form(shown, texts):
    for text in texts:
        assert score(shown, text) == 1, text
        assert score("9:17", text) == 0, text


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        ("3:05", ""),
        ("3:05", "<think>3:05"),
        ("3:05", "3:05 or 4:05"),
        ("3:05", "1:05 2:05 3:05"),
        ("3:05", "3:05 am, 3:05 pm"),
        ("3:05", "5:03"),
        ("3:05", "3:5"),
        ("3:05", "3:65"),
        ("3:05", "305"),
        ("3:05", "3 05"),
        ("3:05", "What time is it?"),
        ("3:05 am", "3:05 pm"),
        ("15:05", "3:05 am"),
        ("3:05:10", "3:05"),
        ("3:05:10", "3:05:11"),
        ("3:05", ", ".join(f"{hour}:05" for hour in range(1, 13))),
        ("3:05", "27:05"),
        ("1:00", "one"),
    ],
)
def test_another_time_or_several_score_nothing(shown, text):
    assert score(shown, text) == 0


@pytest.mark.parametrize(
    "answer", ["late", "25:00", "3:75", 3.5, True, "3:05 or 3:10", ["3:05"], 99]
)
def test_an_answer_that_is_no_time_is_unverifiable(answer):
    with pytest.raises(Unverifiable):
        score(answer, "3:05")


@given(st.integers(0, 23), st.integers(0, 59))
def test_any_time_equals_itself_and_no_other_minute(hour, minute):
    shown = f"{hour}:{minute:02d}"
    assert score(shown, shown) == 1
    assert score(shown, f"{hour}:{(minute + 1) % 60:02d}") == 0
    assert score(f"{hour % 12}:{minute:02d}", shown) == 1


@given(st.text("0123456789: apm.h点半三分tofive", max_size=30))
def test_any_text_is_read(text):
    score("3:05", text)
    clock.extract({"content": text})


def test_no_text_takes_long():
    for piece in (
        "1:",
        "one ",
        "three to ",
        " ",
        "三",
        "1点",
        "3 o",
        "half past ",
        "1",
        "five minutes ",
    ):
        begin = time.process_time()
        score("3:05", piece * (900 // len(piece)))
        score("3:05", piece * (300_000 // len(piece)))
        assert time.process_time() - begin < 1, piece
