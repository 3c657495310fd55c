"""The axes that rules measure: from 0 to 1, and 1 for every good answer of the list."""

import pytest
from test_responses import CASES, one, reason, record, sampled

from qvl.curate.rules.responses import ResponseRules
from qvl.curate.scores import measured
from qvl.curate.scores.measured import AXES, STAGE
from qvl.errors import UserError

AXIS_OF = {
    "empty": "completeness",
    "truncated": "completeness",
    "language-mixing": "language",
    "special-token": "form",
    "think-format": "form",
    "tool-format": "form",
    "bad-json": "form",
    "wrong-answer": "correctness",
}


def own(item):
    return measured.annotate(item)["scores"][STAGE]


def test_good_answers_score_one_and_defects_show_on_their_axis():
    for case in CASES:
        (response,) = measured.annotate(sampled(case))["responses"]
        axes = response["scores"]
        assert all(0 <= value <= 1 for value in axes.values()), case
        if case["want"] == "keep":
            assert min(axes["completeness"], axes["language"], axes["form"]) >= 0.95, case
            assert axes["clarity"] >= 0.6, case
        elif case["want"] in AXIS_OF:
            assert axes[AXIS_OF[case["want"]]] < 0.95, case
        elif case["want"] == "repetition" and any(map(str.isalpha, case["content"])):
            assert axes["clarity"] < 0.6 or "reasoning" in case, case


def test_correctness_is_told_only_where_it_can_be():
    assert own(one("42", task="math", answer="42"))["correctness"] == 1
    assert own(one("43", task="math", answer="42"))["correctness"] == 0
    assert "correctness" not in own(one("42"))
    assert "correctness" not in own(one("42", task="code", answer="many"))
    assert "correctness" not in own(one("The shortest is Cid.", task="logic", answer="Cid"))


def test_what_other_stages_said_stays():
    item = {**one("42"), "scores": {"other": {"x": 1}}}
    assert set(measured.annotate(item)["scores"]) == {"other", STAGE}
    assert item["scores"] == {"other": {"x": 1}}


def test_what_judges_said_stays_when_rules_score_anew():
    judged = {"judge_clarity": 0.75}
    item = {
        **one("42"),
        "scores": {STAGE: judged},
        "responses": [{"content": "42", "scores": judged}],
    }
    done = measured.annotate(item)
    assert done["scores"][STAGE]["judge_clarity"] == 0.75
    assert done["responses"][0]["scores"]["judge_clarity"] == 0.75
    assert done["scores"][STAGE]["form"] == done["responses"][0]["scores"]["form"] == 1


def test_form_and_bad_json_read_one_request():
    """The format prompt asks for JSON: what the rule drops does not score 1 for its form."""
    prompt = "Answer in JSON."
    item = {**one('{"answer": 42', asked=f"What is 17 + 25?\n{prompt}"), "format_prompt": prompt}
    assert reason(ResponseRules()(item).turn) == "bad-json"
    assert own(item)["form"] == 0


def test_without_a_final_turn_the_record_has_the_mean_of_its_responses():
    item = record({"asked": "What is 17 + 25?", "content": "", "task": "math", "answer": "42"})
    item["messages"].pop()
    item["responses"] = [{"content": "42"}, {"content": "43"}]
    assert own(item)["correctness"] == 0.5


def test_a_record_without_an_answer_is_left_as_it_is():
    item = {"id": "a", "messages": [{"role": "user", "content": "Why?"}]}
    assert measured.annotate(item) is item


def test_thresholds_are_read_or_refused_in_one_line():
    assert measured.thresholds(["clarity=0.5", "form=1"]) == {"clarity": 0.5, "form": 1}
    for wrong in ("beauty=1", "clarity", "clarity=high", "clarity=2", "clarity=nan"):
        with pytest.raises(UserError, match="--min"):
            measured.thresholds([wrong])


def test_every_axis_is_explained_in_the_help(command_module):
    help_text = command_module("score-responses").command.__doc__
    assert all(f"      {name} " in help_text for name in AXES)
