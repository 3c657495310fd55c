"""Which value an answer chooses, and that a denied, bounded or alternative one is not chosen."""

import pytest

from qvl.reward import verdict
from qvl.reward.reading.candidates import is_denial

OPEN = [
    "not 3",
    "It is not equal to 3",
    "\\boxed{x \\ge 3}",
    "\\boxed{x > 3}",
    "x \u2265 3",
    "3 \u00b1 10",
    "\\boxed{3 \\pm 10}",
    "3 (or 4)",
    "4 (or 3)",
    "3 or 4",
    "4 or 3",
    "4, 3",
    "4, or 3",
    "\\boxed{4, 3}",
    "between 1 and 3",
    "\u4e0d\u662f3",
]
STATED = [
    "3",
    "3 (see figure 4)",
    "-> 3",
    "=> 3",
    "<b>3</b>",
    "x = 3",
    "1 + 2 = 3",
    "so it is 3",
    "3.0",
]


@pytest.mark.parametrize("task", ["number", "counting", "chart", "math"])
@pytest.mark.parametrize("content", OPEN)
def test_an_answer_that_leaves_its_number_open_is_not_paid(task: str, content: str):
    if task == "math" and content == "between 1 and 3":
        content = "(1, 3)"
    record = {"id": "r", "task": task, "answer": "3", "messages": []}
    assert verdict.judge(record, {"content": content}).reward == 0


@pytest.mark.parametrize("task", ["number", "counting", "chart"])
@pytest.mark.parametrize("content", STATED)
def test_an_answer_that_states_its_number_is_paid(task: str, content: str):
    record = {"id": "r", "task": task, "answer": "3", "messages": []}
    assert verdict.judge(record, {"content": content}).reward == 1


def test_zero_by_zero_is_not_zero():
    for task in ("number", "counting", "chart", "math"):
        record = {"id": "r", "task": task, "answer": "0", "messages": []}
        assert verdict.judge(record, {"content": "\\boxed{0/0}"}).reward == 0


def test_a_denial_says_only_what_the_answer_is_not():
    for text in ("not 3:05", "Not 42.", "isn't 42", "\\neq 42", "\u4e0d\u662f42"):
        assert is_denial(text)
    for text in ("42", "not 42 but 43", "nothing", "note 42", "42, not 43"):
        assert not is_denial(text)
