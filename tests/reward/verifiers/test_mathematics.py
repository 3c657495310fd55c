"""The math verifier: by value, whatever the spelling; what lists too much, or runs away, gains nothing."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from qvl.errors import UserError
from qvl.reward import verdict
from qvl.reward.verifiers import mathematics

EQUAL = [
    (r"\frac{1}{2}", r"so \boxed{0.5}"),
    (r"\frac{1}{2}", r"\boxed{\dfrac12}"),
    (r"\frac{\sqrt{3}}{2}", r"$\frac{\sqrt{3}}{2}$"),
    (r"\frac{a}{b}", r"\boxed{\frac{a}{b}}"),
    ("50%", r"\boxed{\frac12}"),
    ("1,234", r"\boxed{1234}"),
    ("1234", "1,234"),
    ("12", "The answer is 12."),
    ("12", "it is 3, no, 12"),
    (r"5\text{ cm}", r"\boxed{5\,\text{cm}}"),
    (r"\{1,2\}", r"\boxed{2, 1}"),
    (r"x=1 \text{ or } x=2", r"\boxed{x=2, x=1}"),
    ("(1,2)", r"\boxed{(1, 2)}"),
    ("[0,1)", r"\boxed{\left[0, 1\right)}"),
    ("(x-1)^2", r"\boxed{x^2-2x+1}"),
    ("x=3", r"\boxed{3}"),
    ("-3", "\u22123"),
    (["7", "8"], "8"),
    (42, "42"),
]
DIFFERENT = [
    ("2", r"\boxed{1, 2, 3}"),
    ("2", "1,2"),
    ("(1,2)", r"\boxed{[1,2]}"),
    ("1,234", "1,234,5"),
    (r"\sqrt{2}", r"\boxed{1.414}"),
    ("3", r"\boxed{3 \text{ or } 4}"),
    ("3", r"\boxed{x}"),
    ("4", "<think>4</think> 5"),
    ("4", "<think>it is 4"),
    ("4", ""),
    ("4", r"\boxed{}"),
    ("4", r"\boxed{\frac{}{}}"),
    ("4", r"\boxed{((((4}"),
    ("4", "4 " * 3000),
]


@pytest.mark.parametrize(("gold", "content"), EQUAL)
def test_equal_values_score_one(gold, content):
    assert mathematics.score({"answer": gold}, {"content": content}) == 1


@pytest.mark.parametrize(("gold", "content"), DIFFERENT)
def test_other_values_lists_and_nothing_score_none(gold, content):
    assert mathematics.score({"answer": gold}, {"content": content}) == 0


@pytest.mark.parametrize("gold", ["many", r"\text{no solution}", {"a": 1}, ["3", "none"]])
def test_words_are_no_reference(gold):
    with pytest.raises(UserError, match="expected an expression"):
        mathematics.score({"answer": gold}, {"content": "3"})


@pytest.mark.parametrize("bomb", [r"\boxed{9^{9^{9^{9}}}}", r"\boxed{3000000!}"])
def test_what_no_alarm_interrupts_is_ended_and_the_next_is_judged(bomb):
    record = {"task": "math", "answer": r"\frac{1}{2}"}
    started = time.monotonic()
    judged = verdict.judge(record, {"content": bomb}, seconds=1.5)
    assert time.monotonic() - started < 10
    assert judged.status in ("timeout", "error") and judged.reward is None
    assert verdict.judge(record, {"content": r"\boxed{0.5}"}).reward == 1


def test_threads_may_compare_at_once():
    pairs = [(rf"\frac{{{n}}}{{7}}", rf"\boxed{{\frac{{{2 * n}}}{{14}}}}") for n in range(1, 60)]
    with ThreadPoolExecutor(8) as pool:
        scores = pool.map(
            lambda pair: mathematics.score({"answer": pair[0]}, {"content": pair[1]}), pairs
        )
        assert list(scores) == [1.0] * len(pairs)


def test_the_time_that_the_process_takes_to_start_is_not_the_answers():
    mathematics._compare = mathematics.Worker(mathematics.equal, prepare=mathematics.prepare)
    record = {"task": "math", "answer": r"\frac{1}{2}"}
    assert verdict.judge(record, {"content": r"\boxed{\frac24}"}, seconds=0.3).reward == 1
