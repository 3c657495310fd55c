"""Which queries reinforcement learning gets: the report's figures at their edges."""

from typing import Any

import pytest

from qvl.curate.selection.format_prompts import FormatPrompts
from qvl.curate.selection.rl_queries import STAGE, QueryChoice
from qvl.errors import UserError
from qvl.stage import Drop


def query(
    passed: int | None = None,
    total: int = 16,
    *,
    image: bool = False,
    task: str = "math",
    answer: str | None = "4",
    rewards: list | None = None,
    **more: Any,
) -> dict:
    parts = [{"type": "image", "image": "a.png"}] * image
    record = {
        "id": "a",
        "task": task,
        "messages": [{"role": "user", "content": [*parts, {"type": "text", "text": "2 + 2?"}]}],
        **({"answer": answer} if answer is not None else {}),
        **more,
    }
    if passed is not None:
        rewards = [1.0] * passed + [0.0] * (total - passed)
    if rewards is not None:
        record["responses"] = [{"content": "", "reward": one} for one in rewards]
    return record


def reason(found):
    return found.reason if isinstance(found, Drop) else "kept"


@pytest.mark.parametrize(
    ("all_wrong", "image", "kept"),
    [
        ("multimodal", True, "all-wrong"),
        ("multimodal", False, "kept"),
        ("any", False, "all-wrong"),
        ("keep", True, "kept"),
    ],
)
def test_a_query_that_the_strong_model_never_gets_right_goes_if_it_is_multimodal(
    all_wrong, image, kept
):
    choice = QueryChoice(all_wrong=all_wrong)
    assert reason(choice(query(0, image=image))) == kept
    assert reason(choice(query(1, image=image))) == "kept"
    assert reason(choice(query(16, image=image))) == "kept"  # easy for that model is no fault


def test_of_sixteen_samples_of_the_model_to_be_trained_fourteen_stay_and_fifteen_go():
    for passed in range(17):
        measured = {"a": {"judged": 16, "passed": passed, "pass_rate": round(passed / 16, 4)}}
        found = QueryChoice(policy=measured)(query(image=True))
        assert reason(found) == ("too-easy" if passed >= 15 else "kept"), passed


def test_the_models_counts_stay_and_their_responses_do_not():
    policy = {"judged": 16, "passed": 2, "pass_rate": 0.125}
    before = {"scores": {STAGE: {"policy": {"judged": 1}}, "other": {"x": 1}}}
    found = QueryChoice(policy={"a": policy})({**query(4), **before})
    assert isinstance(found, dict)
    assert found["scores"]["other"] == {"x": 1}
    assert found["scores"][STAGE]["policy"] == policy
    assert found["scores"][STAGE]["strong"]["pass_rate"] == 0.25
    assert "responses" not in found
    again = QueryChoice()(found)  # without responses nothing is asked, and what was told stays
    assert isinstance(again, dict) and again["scores"] == found["scores"]
    kept = QueryChoice(keep_responses=True)(query(4))
    assert isinstance(kept, dict) and len(kept["responses"]) == 16


def test_a_graded_reward_passes_from_a_half_on():
    found = QueryChoice()(query(rewards=[0.49, 0.5, 0.1], image=True))
    assert isinstance(found, dict) and found["scores"][STAGE]["strong"]["passed"] == 1
    strict = QueryChoice(pass_reward=0.9)
    assert reason(strict(query(rewards=[0.49, 0.5, 0.1], image=True))) == "all-wrong"


def test_a_query_that_nobody_can_judge_goes_before_a_response_is_paid_for():
    choice = QueryChoice()
    assert reason(choice(query(task="chat"))) == "no-verifier"
    assert reason(choice(query(task="", answer=None))) == "no-verifier"
    assert reason(choice(query(answer=None))) == "unverifiable"
    assert reason(choice(query(task="grounding", answer="nowhere"))) == "unverifiable"
    general = QueryChoice(general=True)
    assert reason(general(query(task="chat", answer=None))) == "kept"
    assert reason(general(query(task="chat", rewards=[None, None], image=True))) == "kept"
    assert reason(general(query(answer=None))) == "unverifiable"


def test_a_verifier_of_ones_own_is_asked_as_qvl_verify_asks_it():
    assert reason(QueryChoice()(query(task="qvl.reward.verifiers.number:score"))) == "kept"
    assert reason(QueryChoice(verifier="number")(query(task="riddle"))) == "kept"
    assert reason(QueryChoice(verifier="number")(query(answer="four?"))) == "kept"
    assert reason(QueryChoice(verifier="number")(query(answer="?"))) == "unverifiable"


def test_what_was_not_sampled_or_not_judged_is_told():
    assert reason(QueryChoice(policy={})(query())) == "not-sampled"
    assert reason(QueryChoice()(query(rewards=[None, None]))) == "not-judged"
    assert reason(QueryChoice(policy={"a": {"judged": 0, "passed": 0}})(query())) == "not-judged"
    found = QueryChoice(min_responses=16)(query(3, 8))
    assert isinstance(found, Drop) and found.detail == "strong: 8 of 16 responses with a reward"


def test_sources_with_little_to_teach_go():
    choice = QueryChoice(drop_sources={"old"})
    assert reason(choice(query(source="old"))) == "low-potential"
    assert reason(choice(query(source="new"))) == reason(choice(query())) == "kept"


def test_a_record_is_not_changed_in_place():
    given = query(4, scores={"x": {}})
    before = repr(given)
    QueryChoice(prompts=FormatPrompts())(given)
    assert repr(given) == before


def test_an_unknown_word_for_all_wrong_is_an_error():
    with pytest.raises(UserError, match="expected multimodal, any, keep"):
        QueryChoice(all_wrong="text")
