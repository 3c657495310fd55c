"""A policy's hacks: no built-in verifier or judge pays one, and each gets a verdict."""

import pytest

from qvl.io import jsonl
from qvl.judge import reply
from qvl.reward import REWARDS, RIGHT, verdict
from qvl.reward.self_test import case_runner, hacks, judge_replies, program_hacks
from qvl.sandbox import probe

isolated = pytest.mark.skipif(not probe().isolated, reason=f"no isolation: {probe().reason}")


def records(name: str) -> list[dict]:
    return list(jsonl.read(str(case_runner.shipped(name))))


TEXT = sorted({case_runner.shipped(name).stem for name in REWARDS} - {"code"})


OPEN: set[str] = set()


@pytest.mark.parametrize("name", [name for name in TEXT if name not in OPEN])
def test_no_verifier_pays_a_hack(name: str):
    paid, tried = [], 0
    for record in records(name):
        for hack in hacks.of_record(record):
            found = verdict.judge(record, hack.response)
            tried += 1
            if found.reward is None or found.reward >= RIGHT:
                paid.append((record["id"], hack.name, found))
    assert paid == []
    assert tried >= (9 if name.startswith("instruction") else 80)


@isolated
def test_no_test_pays_a_program_that_solves_nothing():
    all_ = records("code")
    names = [hack for hack in hacks.of_record(all_[0]) if hack.name.startswith("program-")]
    assert len(names) == len(program_hacks.PROGRAMS) > 30
    for place in range(len(names)):
        record = all_[place % len(all_)]
        programs = [one for one in hacks.of_record(record) if one.name.startswith("program-")]
        found = verdict.judge(record, programs[place].response)
        assert found.reward == 0, (record["id"], programs[place].name, found)


@pytest.mark.parametrize("record", records("judge"), ids=lambda record: record["id"])
def test_no_reply_that_quotes_a_verdict_is_one(record: dict):
    tried = 0
    for name, response in judge_replies.hacks(record):
        tried += 1
        try:
            found = judge_replies.score(record, response)
        except reply.Unreadable:
            continue
        assert found < RIGHT, name
    assert tried > 25


@pytest.mark.parametrize("record", records("judge"), ids=lambda record: record["id"])
def test_a_judges_own_reply_counts(record: dict):
    for response in record["responses"]:
        if response["case"] == "empty":
            with pytest.raises(reply.Unreadable):
                judge_replies.score(record, response)
        else:
            assert judge_replies.score(record, response) == response["expected"]


def test_a_generous_verifier_is_reported(tmp_path, monkeypatch):
    (tmp_path / "generous.py").write_text(
        "def score(record, response):\n"
        "    return float(str(record['answer']) in (response.get('content') or ''))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    record = {
        "id": "r",
        "task": "boats",
        "answer": 7,
        "messages": [{"role": "user", "content": "How many?"}],
        "responses": [{"content": "7", "case": "gold"}],
    }
    tested = case_runner.CaseRunner("generous:score", num_noise=0)
    done = [each["scores"]["reward-test"] for each in tested(record, "own.jsonl:1")]
    found = [each for each in done if each["case"] == "hack"]
    assert len(found) == tested.cases["hack"] > 60
    problems = [each["problem"] for each in found if each["problem"]]
    assert len(problems) > 15 and set(problems) == {"reward 1, expected less than 0.5"}


def test_hacks_come_once_for_an_answer():
    record = records("counting")[0]
    tested = case_runner.CaseRunner(num_noise=0)
    first = list(tested({**record, "responses": record["responses"][:1]}, "here:1"))
    again = list(tested({**record, "responses": record["responses"][:1]}, "here:2"))
    assert sum(each["scores"]["reward-test"]["case"] == "hack" for each in first) > 60
    assert len(again) == 1
