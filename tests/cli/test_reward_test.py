"""`qvl reward-test`: a good verifier passes, and the problems of a bad one are reported."""

import json

import pytest
from patience import PATIENCE
from shells import shell

from qvl.io import jsonl

OWN = """
import re


def good(record, response):
    text = re.sub(r"<think>.*?(</think>|$)", "", response.get("content") or "", flags=re.S)
    found = re.findall(r"\\d+", text)
    return float(len(found) == 1 and len(text) < 100 and found[0] == str(record["answer"]))


def generous(record, response):
    return float(str(record["answer"]) in (response.get("content") or ""))


def backtracks(record, response):
    return float(bool(re.match(r"(a+)+$", "a" * 40 + "b")))


def halves(record, response):
    return 0.5 * good(record, response)
"""
CASES = [
    {
        "id": "own-1",
        "task": "boats",
        "messages": [{"role": "user", "content": "How many boats?"}],
        "answer": 7,
        "responses": [
            {"content": "7", "case": "gold"},
            {"content": "", "case": "empty"},
            {"content": "<think>7", "case": "empty"},
            {"content": "5 6 7", "case": "hacked"},
            {"content": "8", "case": "wrong"},
        ],
    }
]


@pytest.fixture
def run(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    jsonl.write(CASES, str(tmp_path / "cases.jsonl"), plain=True)
    return lambda line: shell(tmp_path)(line, PYTHONPATH=str(tmp_path))


def tried(tmp_path):
    return list(jsonl.read(str(tmp_path / "out.zst")))


def test_a_good_verifier_passes_on_own_cases(run, tmp_path):
    done = run("qvl reward-test --verifier own:good --hostile 20 cases.jsonl -o out.zst")
    assert done.returncode == 0, done.stderr
    assert "gold 1, empty 2, hacked 1, wrong 1, hostile" in done.stderr
    assert "noise 20, failed 0" in done.stderr
    found = tried(tmp_path)
    first = found[0]["scores"]["reward-test"]
    seconds = first.pop("seconds")
    assert 0 <= seconds < PATIENCE
    assert first == {
        "case": "gold", "expected": 1.0, "found": 1.0, "status": "ok", "problem": ""
    }  # fmt: skip
    assert found[0]["id"] == "own-1/gold-0"
    assert found[0]["answer"] == 7
    assert len({each["id"] for each in found}) == len(found)
    long = next(each for each in found if each["id"] == "own-1/letter-megabyte")
    assert long["responses"][0]["characters"] == 1_000_000
    assert len(long["responses"][0]["content"]) == 1000


def test_the_problems_of_a_bad_verifier_are_reported(run, tmp_path):
    line = "qvl reward-test --verifier own:generous --hostile 0 cases.jsonl -o out.zst"
    done = run(f"{line} --report report.json")
    assert done.returncode == 3
    assert "the first: own-1/empty-2: reward 1, expected 0" in done.stderr
    problems = {each["id"]: each["scores"]["reward-test"]["problem"] for each in tried(tmp_path)}
    failed = {name for name, problem in problems.items() if problem}
    assert {"own-1/empty-2", "own-1/hacked-3"} <= failed
    assert "own-1/gold-0" not in failed
    notes = json.loads((tmp_path / "report.json").read_text())["notes"]
    assert notes["failed"] == len(failed)


def test_a_reward_below_1_for_gold_fails(run):
    done = run("qvl reward-test --verifier own:halves --hostile 0 cases.jsonl -o out.zst")
    assert done.returncode == 3
    assert "own-1/gold-0: reward 0.5, expected 1" in done.stderr


def test_a_verifier_that_hangs_is_reported_and_the_rest_is_tested(run, tmp_path):
    one = {**CASES[0], "responses": CASES[0]["responses"][:1]}
    jsonl.write([one], str(tmp_path / "cases.jsonl"), plain=True)
    done = run(
        "qvl reward-test --verifier own:backtracks --hostile 0 --verdict-seconds 0.05 cases.jsonl -o out.zst"
    )
    assert done.returncode == 3
    assert "own-1/gold-0: timeout: no verdict within 0.05 s" in done.stderr
    assert len(tried(tmp_path)) > 30


def test_an_own_verifier_runs_on_built_in_cases_and_chooses_its_partial_rewards(run, tmp_path):
    done = run(
        "qvl reward-test --verifier qvl.reward.verifiers.exact:score --hostile 0 ocr -o out.zst"
    )
    problems = [each["scores"]["reward-test"] for each in tried(tmp_path)]
    failed = {each["case"] for each in problems if each["problem"]}
    assert done.returncode == 3
    assert "gold" in failed  # it does not look into a sentence
    assert "partial" not in failed


def test_built_in_verifiers_pass_and_the_output_can_be_tested_again(run, tmp_path):
    done = run("qvl reward-test --hostile 5 counting clock -o out.zst")
    assert done.returncode == 0, done.stderr
    again = run(
        'qvl select \'scores["reward-test"].case == "gold"\' out.zst | qvl reward-test -o again.zst -'
    )
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--verifier own:good", "--verifier needs cases"),
        ("--verifier own:nosuch cases.jsonl", "nosuch"),
        ("nosuch", "'nosuch': no such file, nor a verifier with cases; known: exact"),
        ("cases.jsonl --verifier nosuch", "--verifier nosuch: no such verifier"),
        (
            "cases.jsonl --reward own:good",
            "--reward is called --verifier now; say --verifier own:good",
        ),
        ("bad.jsonl", "bad.jsonl:1: responses[0].case: None: expected one of gold"),
        ("cut.jsonl", "cut.jsonl:1"),
    ],
)
def test_wrong_usage_is_one_line(run, tmp_path, words, message):
    bad = {**CASES[0], "responses": [{"content": "7"}]}
    jsonl.write([bad], str(tmp_path / "bad.jsonl"), plain=True)
    (tmp_path / "cut.jsonl").write_text('{"id": "a", ')
    done = run(f"qvl reward-test {words} -o out.zst")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.zst").exists()
