"""OCR: ANLS with its threshold, and no reward for listing what might be right."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verdicts import verify

from qvl.reward import Unverifiable
from qvl.reward.verifiers import ocr


def score(answer, content):
    return verify({"id": "r", "task": "ocr", "answer": answer}, {"content": content})


@pytest.mark.parametrize(
    ("answer", "content", "expected"),
    [
        ("STOP", "STOP", 1),
        ("STOP", "stop.", 1),
        ("STOP", '"STOP"', 1),
        ("STOP", 'The sign says "STOP".', 1),
        ("STOP", "The sign says **STOP**.", 1),
        ("STOP", "\\boxed{STOP}", 1),
        ("STOP", "<think>GO</think>STOP", 1),
        ("STOP", "SHOP", 0.75),
        ("STOP", "SLIP", 0),
        ("STOP", "", 0),
        ("STOP", "<think>STOP", 0),
        ("STOP", "What does the sign say?", 0),
        ("STOP", "STOP GO YIELD EXIT SLOW", 0),
        ("STOP", "STOP " * 100_000, 0),
        (7, "7", 1),
        ("7", "1", 0),
        ("7", "0 1 2 3 4 5 6 7 8 9", 0),
        (["7", "seven"], "Seven", 1),
        (["7", "seven"], "7 seven", 0),
        (["7", "seven"], '"7" "seven"', 0),
        (["coca", "coca cola"], "Coca Cola", 1),
        (["coca", "coca cola"], "coca cole", pytest.approx(8 / 9)),
        ("出口", "出口。", pytest.approx(2 / 3)),
        ("A-1", "Ａ-１", 1),
        ("one two\nthree", "```\none  two\nthree\n```", 1),
        ("one two\nthree", "one two\nthrea", pytest.approx(12 / 13)),
        ('He said "hi"', 'He said "hi"', 1),
    ],
)
def test_the_reward_is_the_similarity_above_the_threshold(answer, content, expected):
    assert score(answer, content) == expected


@pytest.mark.parametrize("answer", [{"text": "a"}, [["a"]], [""], ["a", None], "  ", "."])
def test_an_answer_that_is_no_text_is_unverifiable(answer):
    with pytest.raises(Unverifiable):
        score(answer, "a")


def naive(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


@given(st.text("abc ", min_size=1, max_size=12), st.text("abc ", max_size=12))
def test_anls_is_what_the_paper_says(gold, answer):
    nl = naive(gold, answer) / max(len(gold), len(answer))
    assert ocr.anls(gold, answer) == pytest.approx(1 - nl if nl < 0.5 else 0)
    assert ocr.anls(gold, answer) == ocr.anls(answer, gold)


@given(st.text(max_size=40))
def test_any_text_has_a_score(text):
    assert 0 <= score(["STOP", "one\ntwo"], text) <= 1
    ocr.extract({"content": text})


def test_no_text_takes_long():
    gold = "word " * 2000
    for content in (
        "word " * 2100,
        "a" * 1_000_000,
        "**" * 300_000,
        '"' * 300_001,
        "`\n" * 300_000,
    ):
        begin = time.process_time()
        score(gold, content)
        score([gold, "word"], content)
        assert time.process_time() - begin < 2, content[:5]
