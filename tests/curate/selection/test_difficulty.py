"""Pass rates, and the interval that says how far to trust one."""

import pytest

from qvl.curate.selection.difficulty import Difficulty
from qvl.stage import Drop


def sampled(passed, total, tokens=None):
    length = {} if tokens is None else {"num_tokens": tokens}
    rewards = [1.0] * passed + [0.0] * (total - passed)
    return {"id": "a", "responses": [{"content": "", "reward": one, **length} for one in rewards]}


def test_fourteen_of_sixteen_stay_for_reinforcement_learning_and_fifteen_go():
    rules = Difficulty(min_pass_rate=0.01, max_pass_rate=0.9)
    kept = [passed for passed in range(17) if isinstance(rules(sampled(passed, 16)), dict)]
    assert kept == list(range(1, 15))


def test_only_what_is_surely_hard():
    rules = Difficulty(max_pass_rate=0.5, sure=True)
    assert isinstance(rules(sampled(1, 4)), Drop)
    assert isinstance(rules(sampled(4, 16)), dict)


def test_long_answers_are_kept_whatever_passes():
    assert isinstance(Difficulty(min_tokens=100)(sampled(4, 4, tokens=100)), dict)
    assert isinstance(Difficulty(min_tokens=100)(sampled(4, 4, tokens=99)), Drop)
    assert isinstance(Difficulty(min_tokens=100)(sampled(4, 4)), Drop)


def test_a_graded_reward_passes_from_a_threshold_on():
    record = {
        "id": "a",
        "responses": [{"content": "", "reward": 0.7}, {"content": "", "reward": True}],
    }
    assert Difficulty().measure(record)["passed"] == 0
    assert Difficulty(pass_reward=0.5).measure(record) == pytest.approx(
        {"judged": 1, "passed": 1, "pass_rate": 1.0, "low": 0.2065, "high": 1.0}
    )
