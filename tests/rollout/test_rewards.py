"""The rewards of a group while others are sampled: by verifiers in processes, and by a judge."""

import json

import pytest
from fake_endpoint import FakeEndpoint, completion

from qvl.errors import UserError
from qvl.rollout.rewards import Rewarder
from qvl.rollout.settings import RewardSettings, SamplingSettings

SAMPLING = SamplingSettings(model="", queries=(), output="", endpoint="", media_root=".")
MATH = {
    "id": "sum",
    "task": "math",
    "answer": "4",
    "messages": [{"role": "user", "content": "What is the sum of two and two?"}],
    "responses": [{"content": "It is \\boxed{4}"}, {"content": "\\boxed{5}"}],
}
OPEN = {
    "id": "why",
    "task": "vqa",
    "answer": "It is a lighthouse.",
    "messages": [{"role": "user", "content": "What is the white tower on the hill for?"}],
    "responses": [{"content": "It is a lighthouse."}, {"content": "It is a water tower."}],
}


def judge(body, attempt):
    grade = 1 if "water" in json.dumps(body["messages"]) else 5
    axes = dict.fromkeys(("correctness", "instructions", "helpfulness"), grade)
    return completion(json.dumps({"reason": "It says so.", **axes}))


def rewards(pending):
    return [each["reward"] for each in pending.result()["responses"]]


def test_verifiers_reward_a_group_and_measure_every_penalty():
    with Rewarder(RewardSettings(jobs=1), SAMPLING) as rewarder:
        done = rewarder.submit(MATH).result()
    assert [each["reward"] for each in done["responses"]] == [1.0, 0.0]
    assert done["responses"][0]["rewards"].keys() == {"math", "language", "repetition", "format"}


def test_a_slow_verdict_holds_up_its_own_group_only():
    settings = RewardSettings(jobs=2, verifier="own_rewards:sleep_if_asked", seconds=20)
    slow = {**MATH, "id": "slow"}
    with Rewarder(settings, SAMPLING) as rewarder:
        first, second = rewarder.submit(slow), rewarder.submit(MATH)
        assert rewards(second) == [1.0, 1.0]
        assert not first.done()


def test_a_judge_rewards_what_rules_cannot():
    with FakeEndpoint(judge) as endpoint:
        settings = RewardSettings(stage="general", judges=(endpoint.url,))
        with Rewarder(settings, SAMPLING) as rewarder:
            several = [rewarder.submit(record) for record in (OPEN, MATH)]
            assert [rewards(each) for each in several] == [[1.0, 0.0], [1.0, 0.0]]


def test_a_judge_that_gives_no_verdict_gives_no_reward():
    with FakeEndpoint(lambda body, attempt: completion("I cannot say.")) as endpoint:
        settings = RewardSettings(stage="general", judges=(endpoint.url,))
        with Rewarder(settings, SAMPLING) as rewarder:
            assert rewards(rewarder.submit(OPEN)) == [None, None]


def test_an_open_question_without_a_judge_is_refused_with_the_flag_that_it_needs():
    settings = RewardSettings(stage="general", jobs=1)
    with Rewarder(settings, SAMPLING) as rewarder, pytest.raises(UserError, match="give --judge"):
        rewards(rewarder.submit(OPEN))


def test_an_agent_s_calls_and_reasoning_are_parts_of_its_reward_where_it_is_right():
    def praise(body, attempt):
        return completion(json.dumps({"reason": "It looks.", "interprets": 5, "coherent": 5}))

    turn = {"role": "assistant", "content": "\\boxed{4}"}
    episodes = [
        {"content": f"\\boxed{{{answer}}}", "messages": [turn], "calls": [], "num_calls": 0}
        for answer in (4, 5)
    ]
    record = {**MATH, "calls_needed": 0, "responses": episodes}
    with FakeEndpoint(praise) as endpoint:
        settings = RewardSettings(jobs=1, calls_weight=0.2, trajectory_judges=(endpoint.url,))
        with Rewarder(settings, SAMPLING) as rewarder:
            done = rewarder.submit(record).result()
    assert [each["reward"] for each in done["responses"]] == [1 + 0.2 + 0.3, 0.0]
    assert done["responses"][0]["rewards"]["reasoning"] == 1.0
