"""Verifiers: the gold answer scores 1, an empty one 0, a hacked one 0, and none is silent."""

import time

import pytest
import verdicts
from patience import PATIENCE

from qvl import reward
from qvl.errors import UserError
from qvl.reward import verdict
from qvl.reward.reading import boxes, extract
from qvl.reward.verifiers import choice, number
from qvl.reward.verifiers.items import items


def verify(task, answer, content):
    return verdicts.verify({"id": "r", "task": task, "answer": answer}, {"content": content})


GOLD = [  # task, answer, what is right, what is not
    ("math", "42", ["42", "17 + 25 = 42\n42", "so \\boxed{42}", "The answer is 42."], "41 43"),
    ("math", 0.5, ["0.5", "1/2", "50%", ".5"], "5"),
    ("math", "1,234", ["1234", "1,234.0"], "1,234,5"),
    ("math", "-3", ["-3", "x = -3", "\u22123"], "3"),
    ("counting", "3", ["There are 3 squares.", "three", "<think>4?</think>\n3"], "3 4"),
    ("choice", "B", ["B", "(B)", "**B**", "B. a cat", "The answer is B", "Answer: (B)"], "A B C D"),
    ("logic", "Cid", ["Cid", "cid.", "Bob?\n<answer>Cid</answer>", "'Cid'"], "Ann Bob Cid"),
    ("ocr", ["7", "seven"], ["7", "Seven."], "7 seven"),
    ("list", ["red", "blue"], ["blue, red", "red and blue", '["Red", "blue"]'], "red, blue, green"),
    (
        "grounding",
        [10, 20, 110, 220],
        ["[10,20,110,220]", '```json\n[{"bbox_2d": [10, 20, 110, 220], "label": "x"}]\n```'],
        "[0,0,1000,1000]",
    ),
]


@pytest.mark.parametrize(("task", "answer", "right", "wrong"), GOLD)
def test_the_gold_answer_scores_one_and_others_do_not(task, answer, right, wrong):
    for content in right:
        assert verify(task, answer, content) == 1, content
    assert verify(task, answer, "") == 0
    assert verify(task, answer, wrong) < 0.1


def test_a_thought_is_no_answer():
    assert verify("math", "4", "<think>it is 4") == 0
    assert verify("math", "4", "4 or 5</think>6") == 0


def test_the_last_boxed_answer_counts_with_its_braces():
    assert extract.last_boxed("\\boxed{1} \\boxed{\\frac{1}{2}}") == "\\frac{1}{2}"
    assert extract.last_boxed("\\boxed{1") is None


def test_boxes_that_are_joined_are_one_answer():
    assert extract.last_boxed("\\boxed{1}, \\boxed{2} and $\\boxed{3}$") == "1, 2, 3"
    assert extract.last_boxed("\\boxed{A} or \\boxed{B}") == "A, B"
    assert extract.last_boxed("\\boxed{1}. So \\boxed{2}") == "2"


def test_numbers():
    found = {"v2.0 is 7": 7, "12.": 12, "no": None, "1/0": None, "1e5": None, "2 / 4": 0.5}
    assert {text: number.last_number(text) for text in found} == found
    assert number.last_number("9" * 5000) is None


def test_a_letter_must_be_the_only_one():
    assert choice.letters("Answer: A. No, answer: B") == choice.UNDECIDED
    assert choice.letters("I think so") is None


def test_iou_of_a_half_overlap_is_a_third():
    assert boxes.iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert boxes.iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    assert boxes.iou((2, 2, 0, 0), (0, 0, 2, 2)) == 0


def test_boxes_match_one_to_one_and_a_flood_does_not_pay():
    gold = [[0, 0, 10, 10], [20, 20, 30, 30]]
    assert verify("boxes", gold, "[20,20,30,30] [0,0,10,10]") == 1
    assert verify("boxes", gold, "[0,0,10,10] [0,0,10,10]") == 0.5
    assert verify("boxes", gold, "[0,0,10,10]" * 1000 + "[20,20,30,30]") < 0.02


def test_items():
    assert items("Apple, pear; and  plum.") == ["apple", "pear", "plum"]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"answer": "4"}, "no task"),
        ({"task": "chat", "answer": "4"}, "no verifier for task 'chat'"),
        ({"task": "math"}, "no reference answer"),
        ({"task": "math", "answer": {"a": 1}}, "expected an expression"),
        ({"task": "choice", "answer": "the cat"}, "expected a letter"),
        ({"task": "grounding", "answer": "left"}, "boxes"),
        ({"task": "vqa", "answer": {"a": 1}}, "expected a text"),
    ],
)
def test_what_cannot_be_judged_is_an_error_and_never_a_zero(record, words):
    assert words in (verdict.unverifiable(record) or "")
    found = verdict.judge(record, {"content": "4"})
    assert (found.status, found.reward) == ("error", None)
    assert words in found.detail


def test_a_verifier_that_crashes_or_hangs_may_still_judge_another_response():
    started = time.monotonic()
    for name in ("crash", "sleep"):
        assert verdict.unverifiable({"id": "r7"}, f"own_rewards:{name}", seconds=0.3) is None
    found = verdict.judge({"id": "r7"}, {"content": ""}, "own_rewards:crash")
    assert (found.status, found.reward) == ("error", None)
    assert found.detail == "ZeroDivisionError: division by zero"
    found = verdict.judge({"id": "r7"}, {"content": ""}, "own_rewards:sleep", 0.3)
    assert (found.status, found.reward) == ("timeout", None)
    assert verdict.unverifiable({"id": "r7"}, "own_rewards:picky") == "I know no flowers"
    assert time.monotonic() - started < PATIENCE


@pytest.mark.parametrize("value", [2, None, "1", float("nan"), -0.1])
def test_a_reward_outside_zero_to_one_is_an_error(value):
    found = verdict.judge({"id": "r", "value": value}, {"content": ""}, "own_rewards:given")
    assert (found.status, found.reward) == ("error", None)
    assert "from 0 to 1" in found.detail


def test_every_reward_in_the_table_is_there():
    for name in reward.REWARDS:
        assert callable(reward.find(name))


@pytest.mark.parametrize("name", ["nowhere:score", "qvl.reward:nothing", "nosuch"])
def test_an_unknown_verifier_is_reported_by_the_flag_or_the_task_that_named_it(name):
    with pytest.raises(UserError, match=f"--verifier {name}: "):
        reward.find(name, "--verifier")
    with pytest.raises(UserError, match=f"task '?{name}'?"):
        reward.find(name)
    with pytest.raises(UserError) as error:
        reward.find(name)
    assert "--" not in str(error.value)
