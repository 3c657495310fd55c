"""The rules for responses, on a list in many languages: responses.jsonl, written by hand."""

from pathlib import Path

import orjson
import pytest

from qvl.curate.rules.responses import RULES, ResponseRules
from qvl.errors import UserError

LINES = (Path(__file__).parent / "responses.jsonl").read_bytes().splitlines()
CASES = [orjson.loads(line) for line in LINES]


def record(case):
    """A record that ends in the case's answer."""
    asked = [{"type": "image", "image": "a.png"}] * case.get("images", 0)
    asked.append({"type": "text", "text": case["asked"]})
    turn = {"role": "assistant", "content": case["content"]}
    if "reasoning" in case:
        turn["reasoning_content"] = case["reasoning"]
    if "calls" in case:
        turn["tool_calls"] = [{"type": "function", "function": {"name": "weather"}}]
    fields = {name: case[name] for name in ("task", "answer") if name in case}
    return {"id": "a", "messages": [{"role": "user", "content": asked}, turn], **fields}


def sampled(case):
    """The same answer among `responses`."""
    item = record(case)
    turn = item["messages"].pop()
    turn.pop("role")
    return {**item, "responses": [{**turn, "finish_reason": case.get("finish_reason", "stop")}]}


def reason(verdict):
    return verdict.reason if verdict else "keep"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['want']}-{case['content'][:30]}")
def test_each_answer_of_the_list(case):
    rules = ResponseRules()
    (verdict,) = rules(sampled(case)).responses
    assert reason(verdict) == case["want"], verdict
    if "finish_reason" not in case:
        assert reason(rules(record(case)).turn) == case["want"]


def test_every_reason_has_a_case_and_a_detail():
    verdicts = [rules for case in CASES for rules in ResponseRules()(sampled(case)).responses]
    assert all(verdict.detail for verdict in verdicts if verdict)
    labelled = {"guess", "harmful", "off-topic", "style-shift"}  # see test_labelled.py
    assert {name for name, _ in RULES} - labelled == {case["want"] for case in CASES} - {"keep"}


def one(content, asked="What is 17 + 25?", **fields):
    return record({"asked": asked, "content": content, **fields})


def test_thinking_is_allowed_forbidden_or_required():
    thought = one("42", reasoning="17 and 25 make 42.")
    tagged, plain = one("<think>17 and 25</think>42"), one("42")
    closed_only = one("17 and 25</think>42")
    for item in (thought, tagged, closed_only):
        assert reason(ResponseRules(thinking="forbid")(item).turn) == "think-format"
        assert reason(ResponseRules(thinking="require")(item).turn) == "keep"
    assert reason(ResponseRules(thinking="forbid")(plain).turn) == "keep"
    assert reason(ResponseRules(thinking="require")(plain).turn) == "think-format"
    with pytest.raises(UserError, match="allow, forbid, require"):
        ResponseRules(thinking="maybe")


def test_short_reasoning_is_a_guess_if_a_minimum_is_set():
    rules = ResponseRules(min_reasoning=40)
    steps = "17 is 10 and 7, 25 is 20 and 5; the tens make 30, the ones 12, so 42."
    assert reason(rules(one("42")).turn) == "guess"
    assert reason(rules(one("42", reasoning=steps)).turn) == "keep"
    assert reason(rules(one(f"{steps}\n\n42")).turn) == "keep"
    assert reason(
        rules(one("42", reasoning="I cannot tell the digits apart, so I guess 42.")).turn
    ) == ("guess")


def test_no_check_answers_keeps_wrong_answers():
    wrong = one("43", task="math", answer="42")
    assert reason(ResponseRules()(wrong).turn) == "wrong-answer"
    assert reason(ResponseRules(check_answers=False)(wrong).turn) == "keep"


def test_an_answer_without_a_reliable_verdict_is_kept():
    assert reason(ResponseRules()(one("43", task="math", answer={"a": 1})).turn) == "keep"
    assert reason(ResponseRules()(one("43", task="poetry", answer="42")).turn) == "keep"


def test_the_thresholds_of_a_loop():
    four = "The tide rises again. " * 4
    assert reason(ResponseRules(max_repeated=1)(one(four)).turn) == "keep"
    assert reason(ResponseRules(max_repeated=1, loop_times=3)(one(four)).turn) == "repetition"


def test_a_loop_in_the_middle_of_a_long_text_is_found():
    sentences = [
        f"Step {n} moves the {n * 37 % 101}th stone to square {n * 53 % 97}." for n in range(200)
    ]
    clean = " ".join(sentences)
    assert reason(ResponseRules()(one(clean)).turn) == "keep"
    for place in (0, 57, 111, 200):
        unit = "and then it goes on and on, "
        corrupted = " ".join([*sentences[:place], unit * 12, *sentences[place:]]) + "."
        assert reason(ResponseRules()(one(corrupted)).turn) == "repetition", place


def test_an_agents_last_turn_is_the_answer():
    trajectory = [
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function"}]},
        {"role": "tool", "content": "42"},
        {"role": "assistant", "content": "It is 42, because"},
    ]
    item = record({"asked": "What is 17 + 25?", "content": ""})
    item["messages"].pop()
    (verdict,) = ResponseRules()({**item, "responses": [{"messages": trajectory}]}).responses
    assert reason(verdict) == "truncated"
