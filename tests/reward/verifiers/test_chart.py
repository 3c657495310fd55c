"""Charts: within 5%, in any unit; 0 is 0, a year is exact, and a list of guesses is wrong."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verdicts import verify

from qvl.reward import Unverifiable
from qvl.reward.verifiers import chart


def score(answer, content, question="What is the value?"):
    messages = [{"role": "user", "content": question}]
    record = {"id": "r", "task": "chart", "answer": answer, "messages": messages}
    return verify(record, {"content": content})


RIGHT = [
    ("100", ["100", "105", "95", "104.9", "$100", "100 units", "It is 100.", "**100**", "100.00"]),
    (100, ["100", "1e2", "<think>5</think>100", "\\boxed{100}", "50 + 50 = 100", "100 (in 2015)"]),
    ("0", ["0", "0.0", "0%", "-0", "$0"]),
    ("45%", ["45%", "45", "0.45", "45 %", "45 percent", "45％"]),
    ("0.45", ["45%", "0.45"]),
    ("45", ["45%", "45"]),
    ("1.2 million", ["1.2 million", "1,200,000", "1.2M", "1.2", "1200k", "1.2 mn"]),
    ("1,234", ["1234", "1,234", "1,234.0", "1\u00a0234"]),
    ("-5", ["-5", "\u22125", "-5.2"]),
    ("12 kg", ["12", "12 kg", "12kg"]),
    (".5", ["0.5", ".5", "1/2 = 0.5"]),
    ("Brazil", ["Brazil", "brazil.", "The answer is Brazil", '"Brazil"', "It is **Brazil**."]),
    ("Yes", ["Yes", "yes.", "Yes, it is higher."]),
    ("Q3 2015", ["Q3 2015"]),
    (["10", "20"], ["10, 20", "20 and 10", "[10, 20]", '["10", "20"]', "10; 20", "10.1, 19.5"]),
    (["1,234", "5"], ["1,234, 5"]),
    (["45"], ["45"]),
]
WRONG = [
    ("100", ["", "106", "94", "-100", "<think>100", "90, 95, 100", "100 or 200", "ten", "1000"]),
    ("0", ["0.01", "1", "", "none"]),
    ("45%", ["4500", "0.5%", "54%"]),
    ("5", ["1 2 3 4 5 6 7", "What is the value?", "0 5"]),
    ("Brazil", ["Brazil Chile Peru", "Chile", ""]),
    ("Yes", ["No", "Yes No", "No, yes", "maybe yes"]),
    ("1.2 million", ["1.2 billion", "12"]),
    ("100", ["100 " * 1000, "9" * 5000, "1e99"]),
]


@pytest.mark.parametrize(("answer", "texts"), RIGHT)
def test_what_is_right_scores_one(answer, texts):
    for text in texts:
        assert score(answer, text) == 1, text


@pytest.mark.parametrize(("answer", "texts"), WRONG)
def test_what_is_wrong_or_several_scores_nothing(answer, texts):
    for text in texts:
        assert score(answer, text) == 0, text


def test_a_number_of_the_question_is_no_candidate():
    question = "What was it in 2015?"
    assert score("45", "In 2015 it was 45.", question) == 1
    assert score("45", "In 2015 it was 46, in 2016 40.", question) == 0
    assert score("2015", "2015", question) == 1


def test_a_year_is_exact_if_the_question_asks_for_one():
    for question in (
        "In which year was it highest?",
        "When was it highest?",
        "哪一年最高？",
    ):
        assert score("2015", "2015", question) == 1
        assert score("2015", "2014", question) == 0
    assert score("2015", "2014", "How many people were there?") == 1


def test_items_of_a_list_are_counted_one_to_one():
    assert score(["10", "20", "a"], "10, 20") == pytest.approx(2 / 3)
    assert score(["10", "20"], "10, 10") == 0.5
    assert score(["10", "20"], "10, 20, 30, 40") == 0.5
    assert score(["10", "10.3"], "10.4, 9.6") == 1
    assert score(["a", "b"], ", ".join(map(str, range(300)))) == 0
    assert score(["a", "b"], "") == 0


@pytest.mark.parametrize("answer", [{"a": 1}, [["a"]], [None, "a"], True, [""], "."])
def test_an_answer_of_another_kind_is_unverifiable(answer):
    with pytest.raises(Unverifiable):
        score(answer, "1")


@given(st.floats(-1e9, 1e9).map(lambda x: round(x, 3)), st.floats(-0.2, 0.2))
def test_the_border_is_at_five_per_cent(target, change):
    shown = f"{target * (1 + change):.12f}"
    if abs(abs(change) - 0.05) > 1e-6 and abs(target) > 1:
        assert score(f"{target:.3f}", shown) == (abs(change) < 0.05)


@given(st.text(max_size=40))
def test_any_text_has_a_score(text):
    for answer in ("5", "word", ["5", "word"]):
        assert 0 <= score(answer, text) <= 1
    chart.extract({"content": text})


def test_no_text_takes_long():
    for piece in ("1,111", "9", "1 ", "$", "(", "yes ", "1e9", ",", "["):
        for size in (1900, 300_000):
            begin = time.process_time()
            score(["5", "6"], piece * (size // len(piece)))
            score("5", piece * (size // len(piece)))
            assert time.process_time() - begin < 1, piece
