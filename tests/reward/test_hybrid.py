"""The table of what makes a reward, and `qvl verify` with penalties and a judge."""

import json

import pytest
from fake_endpoint import FakeEndpoint, completion
from shells import shell
from test_client_scoring import VLLM

from qvl.curate.selection.difficulty import Difficulty
from qvl.errors import UserError
from qvl.io import jsonl
from qvl.reward import REWARDS, hybrid

AXES = ("correctness", "instructions", "helpfulness")
CHINESE = "这个问题的答案是 \\boxed{4}"
MATH = {
    "id": "sum",
    "task": "math",
    "answer": "4",
    "messages": [{"role": "user", "content": "What is the sum of two and two?"}],
    "responses": [{"content": "It is \\boxed{4}"}, {"content": CHINESE}, {"content": "\\boxed{5}"}],
}
OPEN = {
    "id": "why",
    "task": "vqa",
    "answer": "It is a lighthouse.",
    "messages": [{"role": "user", "content": "What is the white tower on the hill for?"}],
    "responses": [{"content": "It is a lighthouse."}, {"content": "It is a water tower."}],
}


@pytest.fixture
def run(tmp_path):
    def run(records, words, **env):
        jsonl.write(records, str(tmp_path / "in.zst"))
        done = shell(tmp_path)(f"qvl verify {words} in.zst -o out.zst", **env)
        out = tmp_path / "out.zst"
        return done, list(jsonl.read(str(out))) if done.returncode == 0 else []

    return run


def judged(body, attempt):
    said = json.dumps(body["messages"])
    if "garbled" in said:
        return completion("I cannot say.")
    grade = 2 if "water" in said else 5
    axes = {"correctness": grade, "instructions": 5, "helpfulness": 3}
    return completion(json.dumps({"reason": "It says so.", **axes}))


def test_every_row_of_the_table_has_known_parts():
    known = {hybrid.VERIFIER, hybrid.JUDGE, hybrid.SCORE, *hybrid.PENALTIES}
    for rows in hybrid.STAGES.values():
        assert set(rows) == {"verifiable", "open", "without reference"}
        assert all(set(parts) <= known for parts in rows.values())
    assert set(hybrid.OPEN_TASKS) <= set(REWARDS)


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"task": "math"}, "verifiable"),
        ({"task": "vqa", "answer": "a cat"}, "open"),
        ({"task": "chat", "answer": "a cat"}, "open"),
        ({"task": "chat"}, "without reference"),
        ({}, "without reference"),
    ],
)
def test_a_record_is_verifiable_open_or_without_a_reference(record, kind):
    assert hybrid.kind(record) == kind


def test_a_right_answer_in_the_wrong_language_is_worth_half(run):
    _, (out,) = run([MATH], "--hybrid reasoning")
    assert [one["reward"] for one in out["responses"]] == [1.0, 0.5, 0.0]
    second = out["responses"][1]
    assert second["rewards"] == {"math": 1.0, "language": -1.0}
    assert "language" in second["verdict"]["penalties"]
    assert "penalties" not in out["responses"][0]["verdict"]


def test_a_penalty_takes_its_weight(run):
    _, (out,) = run([MATH], "--penalty language=0.2 --penalty repetition")
    assert [one["reward"] for one in out["responses"]] == [1.0, 0.8, 0.0]


def test_what_the_verifier_passes_still_counts_as_passed(run):
    _, (out,) = run([MATH], "--hybrid reasoning")
    assert Difficulty(max_pass_rate=1.0).measure(out)["passed"] == 2


def test_a_judge_grades_what_is_open_and_rules_the_rest_in_order(run):
    with FakeEndpoint(judged) as endpoint:
        done, (first, second, third) = run(
            [MATH, OPEN, {**MATH, "id": "again"}], f"--hybrid general --judge {endpoint.url}"
        )
    assert done.returncode == 0, done.stderr
    assert [each["id"] for each in (first, second, third)] == ["sum", "why", "again"]
    assert [one["reward"] for one in first["responses"]] == [1.0, 0.5, 0.0]
    right, wrong = second["responses"]
    assert right["rewards"] == {
        "judge": 0.8333, "judge_correctness": 1.0, "judge_instructions": 1.0,
        "judge_helpfulness": 0.5, "language": 0.0, "repetition": 0.0, "format": 0.0,
    }  # fmt: skip
    assert (right["reward"], wrong["reward"]) == (0.8333, 0.5833)
    assert right["verdict"]["status"] == "ok" and right["verdict"]["verifier"] == "judge"


def valued(body, attempt):
    said = json.dumps(body["messages"][-1])
    assert body["use_activation"] is False
    if "garbled" in said:
        return 400, {}, {"error": "too long"}
    value = 2.0 if "lighthouse" in said else -2.0
    return 200, {}, {"data": [{"probs": [value]}], "usage": {"prompt_tokens": 5}}


def test_a_reward_model_scores_what_has_no_reference(run):
    without = {name: value for name, value in OPEN.items() if name != "answer"}
    without["responses"] = [*OPEN["responses"], {"content": "It is garbled."}]
    with FakeEndpoint(valued, VLLM) as endpoint:
        words = f"--hybrid general --max-error-rate 1 --reward-model {endpoint.url}"
        done, (first, second) = run([without, {**MATH, "id": "other"}], words)
        assert done.returncode == 0, done.stderr
        assert "10 tokens" in done.stderr or "tokens 10" in done.stderr
        good, bad, garbled = first["responses"]
        assert (good["reward"], bad["reward"]) == (0.880797, 0.119203)
        assert good["verdict"] == {
            "verifier": "score", "extracted": "It is a lighthouse.", "status": "ok",
            "detail": "2 before the sigmoid",
        }  # fmt: skip
        assert garbled["reward"] is None and garbled["verdict"]["status"] == "error"
        assert [one["reward"] for one in second["responses"]] == [1.0, 0.5, 0.0]
        done, _ = run([OPEN], f"--hybrid general --reward-model {endpoint.url}")
        assert done.returncode == 2 and "needs a model; give --judge URL" in done.stderr


def test_a_reply_that_cannot_be_read_is_an_error_and_no_reward(run):
    garbled = {**OPEN, "responses": [{"content": "It is garbled."}]}
    with FakeEndpoint(judged) as endpoint:
        words = f"--hybrid general --max-error-rate 1 --judge {endpoint.url}"
        done, (out, _) = run([garbled, {**OPEN, "id": "other"}], words)
        assert done.returncode == 0, done.stderr
        (one,) = out["responses"]
        assert one["reward"] is None and "judge" not in one["rewards"]
        assert one["verdict"]["status"] == "error"
        done, _ = run([garbled], f"--hybrid general --judge {endpoint.url}")
        assert done.returncode == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--hybrid general", "record 'why': task 'vqa' needs a model; give --judge URL"),
        ("--hybrid other", "--hybrid other: expected one of reasoning, general"),
        ("--penalty sloth", "unknown penalty 'sloth'; known: language, repetition, format"),
        ("--penalty format=x", "--penalty format=x: expected NAME=WEIGHT"),
        ("--judge http://127.0.0.1:9", "--judge and --reward-model need --hybrid general"),
    ],
)
def test_what_cannot_be_summed_up_is_told_in_one_line(run, words, told):
    done, _ = run([OPEN], words)
    assert done.returncode == 2
    assert told in done.stderr and done.stderr.count("\n") == 1


def test_weights_are_numbers_from_0_on():
    assert hybrid.checked(["language", "format=2"]) == {"language": 0.5, "format": 2.0}
    with pytest.raises(UserError, match="at least 0"):
        hybrid.checked(["format=-1"])


def test_a_served_model_that_is_held_to_a_schema_judges_each_response(tmp_path, twin):
    records = [OPEN, {**OPEN, "id": "free", "answer": None}]
    jsonl.write(records, str(tmp_path / "in.zst"))
    line = "qvl verify --hybrid general --judge $QVL_ENDPOINT in.zst -o out.zst"
    done = shell(tmp_path)(f"qvl serve {twin} --port 0 -- sh -c '{line}'")
    assert done.returncode == 0, done.stderr
    verified = [each["responses"] for each in jsonl.read(str(tmp_path / "out.zst"))]
    for response in [one for each in verified for one in each]:
        grades = [response["rewards"][f"judge_{axis}"] for axis in AXES]
        assert set(grades) <= {0, 0.25, 0.5, 0.75, 1}
        assert response["rewards"]["judge"] == pytest.approx(sum(grades) / len(AXES), abs=1e-4)
        assert response["verdict"]["status"] == "ok"
