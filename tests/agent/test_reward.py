"""What an episode is worth, and that the ways to win it without looking lose."""

import pytest

from qvl.agent.reward import (
    W_CALLS,
    W_REASONING,
    calls_fit,
    fit_of,
    score,
    useful_calls,
    with_parts,
)

RED, BLUE = [100, 100, 200, 200], [700, 700, 800, 800]


def zoom(box, image=0, *, failed=False):
    arguments = {"bbox_2d": box, "img_idx": image, "label": "it"}
    return {"turn": 1, "name": "image_zoom_in_tool", "arguments": arguments, "failed": failed}


def episode(*calls):
    return {"calls": list(calls), "num_calls": len(calls)}


def record(needed, *evidence):
    found = {"calls_needed": needed}
    if evidence:
        found["evidence"] = [{"bbox_2d": box, "img_idx": 0} for box in evidence]
    return found


@pytest.mark.parametrize(
    ("made", "useful", "needed", "fit"),
    [
        (0, 0, 0, 1.0),
        (1, 1, 0, 0.0),
        (0, 0, 1, 0.0),
        (1, 1, 1, 1.0),
        (2, 2, 1, 0.0),
        (1, 1, 2, 0.5),
        (2, 2, 2, 1.0),
        (2, 1, 2, 0.0),  # one of use and one without: worse than the one alone
        (3, 3, 2, 0.5),
        (1000, 1000, 2, 0.0),
    ],
)
def test_the_fit_of_calls(made, useful, needed, fit):
    assert calls_fit(made, useful, needed) == fit


def test_a_call_is_useful_once_and_where_the_evidence_is():
    known = record(2, RED, BLUE)
    assert useful_calls(known, episode(zoom(RED), zoom(BLUE))) == 2
    assert useful_calls(known, episode(zoom(RED), zoom(RED))) == 1
    assert useful_calls(known, episode(zoom(RED), zoom([90, 90, 260, 260]))) == 1  # seen before
    assert useful_calls(known, episode(zoom([400, 400, 500, 500]))) == 0
    assert useful_calls(known, episode(zoom([0, 0, 1000, 1000]))) == 0
    assert useful_calls(known, episode(zoom(RED, 1), zoom(BLUE, failed=True))) == 0
    unknown = record(2)
    assert useful_calls(unknown, episode(zoom(RED), zoom([400, 400, 500, 500]))) == 2
    assert useful_calls(unknown, episode(zoom(RED), zoom([101, 100, 200, 200]))) == 1
    code = {"turn": 1, "name": "code_interpreter", "arguments": {"code": "1"}, "failed": False}
    assert useful_calls(unknown, episode(code, code)) == 1


# A mixed set of tasks: a third each deserve 0, 1 and 2 calls. A policy is right where it has seen what the
# task needs, and half the time where it guesses.
TASKS = [(0, []), (1, [RED]), (2, [RED, BLUE])]
GUESS = 0.3
ELSEWHERE = [[400, 400, 450, 450], [20, 700, 60, 760]]


def mean_score(policy, reasoning):
    """Over the tasks: policy gives the calls of each, and is right if it has seen the evidence."""
    total = 0.0
    for needed, evidence in TASKS:
        calls = policy(needed, evidence)
        task = record(needed, *evidence) if evidence else record(needed)
        done = episode(*map(zoom, calls))
        accuracy = 1.0 if all(box in calls for box in evidence) else GUESS
        total += score(accuracy, fit_of(task, done), reasoning)
    return total / len(TASKS)


def honest(needed, evidence):
    return evidence


CHEATS = {
    "always one call": lambda needed, evidence: (evidence or [RED])[:1],
    "never a call": lambda needed, evidence: [],
    "fill the budget without use": lambda needed, evidence: ELSEWHERE[:needed],
    "look, then fill up with the same": lambda needed, evidence: (evidence[:1] * 2)[:needed],
    "always two calls": lambda needed, evidence: (evidence + ELSEWHERE)[:2],
}


@pytest.mark.parametrize("name", CHEATS)
def test_no_cheat_wins_even_if_it_pleases_the_judge_and_the_honest_agent_does_not(name):
    """The judge gives the cheat full marks for its words, and the honest agent none."""
    assert mean_score(CHEATS[name], reasoning=1.0) < mean_score(honest, reasoning=0.0)


def test_words_do_not_pay_for_a_wrong_answer_nor_in_place_of_calls():
    assert score(0.0, 1.0, 1.0) == 0.0
    assert score(1.0, 0.0, 1.0) == score(1.0, 0.0, 0.0) == 1.0
    assert score(1.0, 1.0, 1.0) == 1 + W_CALLS + W_REASONING


def test_parts_that_are_not_known_are_left_out():
    assert score(1.0) == 1.0
    assert score(0.5, None, 1.0) == 0.5 * (1 + W_REASONING)
    assert fit_of({}, episode()) is None


def test_the_reward_of_rl_gets_its_part_by_the_accuracy_alone():
    response = {**episode(zoom(RED)), "verdict": {"verifier": "ocr"}}
    right = {**response, "reward": 0.5, "rewards": {"ocr": 1.0, "language": -1.0}}
    wrong = {**response, "reward": 0.0, "rewards": {"ocr": 0.0}}
    failed = {**response, "reward": None, "rewards": {}}
    several = {**record(1), "responses": [right, wrong, failed]}
    done = with_parts(several, 0.2)["responses"]
    assert [each["reward"] for each in done] == [0.7, 0.0, None]
    assert done[0]["rewards"]["calls"] == 1.0
    judged = with_parts(several, 0.2, [0.5, 1.0, 1.0], 0.4)["responses"]
    assert [each["reward"] for each in judged] == [0.9, 0.0, None]
    unread = with_parts(several, 0.2, [None, 1.0, 1.0])["responses"]
    assert [each["reward"] for each in unread] == [None, 0.0, None]
