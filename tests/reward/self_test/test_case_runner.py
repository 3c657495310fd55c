"""The shipped cases, and the trial of a reward: what hangs, dies or pays too much is told."""

from pathlib import Path
from typing import Any

import pytest

from qvl import record, reward
from qvl.errors import UserError
from qvl.io import jsonl
from qvl.reward import verdict
from qvl.reward.self_test import case_runner, hostile
from qvl.sandbox import probe

OWN = """
import collections
import itertools
import os


def endless(record, response):
    return len(collections.deque(itertools.repeat(1), maxlen=0))


def dies(record, response):
    os._exit(7)


def crashes(record, response):
    return {}[response["content"]]
"""

CASES = {Path(path).stem: list(jsonl.read(path)) for path in case_runner.paths([*reward.REWARDS])}


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "ownreward.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def tried(case="gold", name=None, task="counting", **options):
    (done,) = case_runner.CaseRunner(name, num_noise=0, **options)(given(case, task), "own.jsonl:1")
    return done["scores"]["reward-test"]


def given(case, task, answer: Any = 3, content="3"):
    messages = [{"role": "user", "content": "How many?"}]
    responses = [{"content": content, "case": case}]
    return {"id": "r", "task": task, "messages": messages, "answer": answer, "responses": responses}


def test_every_verifier_has_cases_of_every_kind_that_are_sound_records():
    assert {Path(case_runner.shipped(name)).stem for name in reward.REWARDS} == set(CASES)
    for name, records in CASES.items():
        found = {each["case"] for one in records for each in one["responses"]}
        assert {"gold", "empty", "hacked", "wrong"} <= found, name
        assert len({one["id"] for one in records}) == len(records)
        for one in records:
            assert record.check(one) is None
            assert reward.REWARDS[one["task"]] == reward.REWARDS[name], one["id"]
            assert {"gold", "empty"} <= {each["case"] for each in one["responses"]}, one["id"]


@pytest.mark.parametrize("name", CASES)
def test_a_verifier_gives_what_is_expected(name):
    if name == "code" and not probe().isolated:
        pytest.skip(f"no isolation: {probe().reason}")
    for one in CASES[name]:
        for response in one["responses"]:
            said = verdict.judge(one, response)
            assert said.status == "ok", (one["id"], response, said)
            assert said.reward == pytest.approx(response["expected"], abs=1e-6), response


def test_no_verifier_breaks_on_what_is_hostile():
    """Math's bombs are below; a program is run in the sandbox, which has a suite of its own."""
    tested = case_runner.CaseRunner(seconds=30, num_noise=30, has_hacks=False)
    for name in CASES.keys() - {"math", "code"}:
        for one in CASES[name]:
            bare = {**one, "responses": one["responses"][:1]}
            done = [each["scores"]["reward-test"] for each in tested(bare, "here:1")]
            assert {each["problem"] for each in done} == {""}, name
    assert tested.cases["hostile"] > 400
    assert tested.cases["noise"] > 400


def test_a_bomb_may_run_out_of_time_and_nothing_else_may():
    said = verdict.Verdict("timeout", None, None, "no verdict within 1 s", "math")
    assert case_runner._problem(said, "bomb", None) == ""
    assert case_runner._problem(said, "hostile", None) == "timeout: no verdict within 1 s"
    lost = said._replace(detail="no alarm interrupts it; its process was killed")
    assert case_runner._problem(lost, "bomb", None) != ""
    tested = case_runner.CaseRunner(seconds=1, num_noise=0)
    for bomb in (each for each in hostile.FIXED if each.case == "bomb"):
        one = given("bomb", "math", "\\frac{1}{2}", bomb.content)
        assert next(tested(one, "here:1"))["scores"]["reward-test"]["problem"] == ""


def test_what_no_alarm_interrupts_and_what_ends_its_process_are_told(own):
    tested = case_runner.CaseRunner("ownreward:endless", seconds=0.2)  # an alarm ends it
    found = next(tested(given("gold", "x"), "here:1"))["scores"]["reward-test"]
    assert (found["status"], found["found"]) == ("timeout", None)
    assert found["problem"] == "timeout: no verdict within 0.2 s"
    found = next(case_runner.CaseRunner("ownreward:dies")(given("gold", "x"), "here:1"))
    assert found["scores"]["reward-test"]["problem"] == "error: its process ended with status 7"
    found = next(case_runner.CaseRunner("ownreward:crashes")(given("gold", "x"), "here:1"))
    assert found["scores"]["reward-test"]["problem"] == "error: KeyError: '3'"


@pytest.mark.parametrize(
    ("case", "expected", "found", "problem"),
    [
        ("gold", 1, 1, ""),
        ("gold", 1, 0.9, "reward 0.9, expected 1"),
        ("empty", 0, 0, ""),
        ("hacked", 0, 0.01, "reward 0.01, expected 0"),
        ("partial", 1 / 3, 0.3333333, ""),
        ("partial", None, 0.2, ""),
        ("wrong", None, 1, "reward 1, expected less than 1"),
        ("hostile", None, 1, "reward 1, expected less than 1"),
        ("noise", None, 1, ""),
        ("hack", None, 0.49, ""),
        ("hack", None, 0.5, "reward 0.5, expected less than 0.5"),
    ],
)
def test_what_is_a_problem(case, expected, found, problem):
    assert case_runner._problem(verdict.Verdict("ok", found), case, expected) == problem


def test_an_extracted_answer_that_json_cannot_hold_is_a_problem():
    for extracted in (10**30, "\ud800", {1, 2}):
        said = verdict.Verdict("ok", 0.0, extracted)
        assert case_runner._problem(said, "empty", 0) != ""


def test_a_case_that_is_none_is_told_with_its_place():
    for change, words in (
        ({"case": "golden"}, "responses[0].case: 'golden': expected one of gold, empty"),
        ({"case": None}, "responses[0].case: None"),
        ({"expected": 2}, "responses[0].expected: 2"),
        ({"expected": "1"}, "responses[0].expected: '1'"),
    ):
        one = given("gold", "counting")
        one["responses"][0] |= change
        with pytest.raises(UserError) as error:
            next(case_runner.CaseRunner()(one, "own.jsonl:4"))
        assert str(error.value).startswith("own.jsonl:4: ")
        assert words in str(error.value)
    with pytest.raises(UserError, match="no responses"):
        next(
            case_runner.CaseRunner()({**given("gold", "counting"), "responses": []}, "own.jsonl:4")
        )


def test_noise_is_the_same_for_a_seed_and_can_be_written():
    first = list(hostile.noise(200, "0/math"))
    assert first == list(hostile.noise(200, "0/math"))
    assert first != list(hostile.noise(200, "1/math"))
    for each in (*first, *hostile.FIXED):
        assert b"content" in jsonl.encode({"content": each.content})
    assert len({each.name for each in hostile.FIXED}) == len(hostile.FIXED)
