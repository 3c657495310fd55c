"""`qvl verify`: a crash, a time-out and a success are three results, and none is a silent 0."""

import json
import random
import time
from typing import Any

import pytest
from patience import PATIENCE
from shells import shell

from qvl import reward
from qvl.io import jsonl
from qvl.reward import verdict
from qvl.reward.penalties import PENALTIES
from qvl.sandbox import probe

isolated = pytest.mark.skipif(not probe().isolated, reason=f"no isolation: {probe().reason}")

OWN = """
import re
import time


def fails(record, response):
    if response["content"] == "crash":
        raise KeyError("no such thing")
    if response["content"] == "seven":
        return 7
    return response["content"] == "right"


def backtracks(record, response):
    return bool(re.match(r"(a+)+$", "a" * 40 + "b"))


def computes(record, response):
    return response["content"] == "42" or 9**9**9**9 == 0


def swallows(record, response):
    while True:
        try:
            time.sleep(60)
        except BaseException:
            if response["content"] == "once":
                continue
            raise
"""


def record(identity="r", task="math", answer: Any = "42", contents=("42",)):
    return {
        "id": identity,
        "task": task,
        "answer": answer,
        "messages": [{"role": "user", "content": "?"}],
        "responses": [{"content": content} for content in contents],
    }


@pytest.fixture
def run(tmp_path):
    (tmp_path / "own.py").write_text(OWN)

    def line(words, records=()):
        if records:
            jsonl.write(records, str(tmp_path / "in.jsonl"), plain=True)
        return shell(tmp_path)(words, PYTHONPATH=str(tmp_path))

    return line


def read(tmp_path, name="out.zst"):
    return list(jsonl.read(str(tmp_path / name)))


def test_responses_are_judged_in_order_and_nothing_else_changes(run, tmp_path):
    records = [record(f"r{i}", contents=["42", str(i)]) for i in range(300)]
    records[0]["responses"][0] |= {"rewards": {"judge": 0.4, "math": 0.0}, "num_tokens": 3}
    for jobs in (1, 2):
        done = run(f"qvl verify --jobs {jobs} in.jsonl -o out{jobs}.zst", records)
        assert done.returncode == 0, done.stderr
        assert "responses 600, ok 600, timeout 0, error 0, mean reward 0.5017" in done.stderr
    found = read(tmp_path, "out1.zst")
    assert found == read(tmp_path, "out2.zst")
    assert [each["id"] for each in found] == [f"r{i}" for i in range(300)]
    assert found[0]["responses"][0] == {
        "content": "42",
        "rewards": {"judge": 0.4, "math": 1.0},
        "num_tokens": 3,
        "reward": 1.0,
        "verdict": {"verifier": "math", "status": "ok", "extracted": "42", "detail": ""},
    }


def test_a_crash_is_no_zero_and_is_told(run, tmp_path):
    records = [record(contents=["right", "wrong", "crash", "seven"])]
    done = run(
        "qvl verify --verifier own:fails --max-error-rate 0.5 in.jsonl -o out.zst --report r.json",
        records,
    )
    assert done.returncode == 0, done.stderr
    (found,) = read(tmp_path)
    assert [each["reward"] for each in found["responses"]] == [1.0, 0.0, None, None]
    assert [each["verdict"]["status"] for each in found["responses"]] == ["ok"] * 2 + ["error"] * 2
    details = [each["verdict"]["detail"] for each in found["responses"]]
    assert details[2] == "KeyError: 'no such thing'"
    assert "the verifier returned 7" in details[3]
    assert found["responses"][2]["rewards"] == {}
    notes = json.loads((tmp_path / "r.json").read_text())["notes"]
    assert notes == {"responses": 4, "ok": 2, "timeout": 0, "error": 2, "mean_reward": 0.5}


def test_too_many_errors_are_status_3_and_a_higher_rate_resumes(run, tmp_path):
    contents = ["crash"] * 6 + ["right"] * 94
    command = "qvl verify --verifier own:fails in.jsonl -o out.zst"
    done = run(command, [record(contents=contents)])
    assert done.returncode == 3
    assert "no verdict on 6 of 100 responses, over --max-error-rate 0.05" in done.stderr
    assert "KeyError" in done.stderr
    assert not (tmp_path / "out.zst").exists()
    done = run(f"{command} --max-error-rate 0.06 --resume")
    assert done.returncode == 0, done.stderr
    assert len(read(tmp_path)) == 1


def test_a_stream_that_goes_bad_is_stopped_before_its_end(run):
    done = run(
        "(cat in.jsonl; sleep 8) | timeout 7 qvl verify --verifier own:fails > out.zst",
        [record(contents=["crash"] * 300)],
    )
    assert "no verdict on 300 of 300" in done.stderr


@isolated
def test_partial_credit_is_the_share_of_the_tests(run, tmp_path):
    tests = {"tests": [{"stdin": "1", "stdout": "1"}, {"stdin": "2", "stdout": "4"}]}
    program = "```python\nprint(input())\n```"
    for words, wanted in (("", 0.0), ("--partial", 0.5)):
        done = run(
            f"qvl verify {words} in.jsonl -o out.zst",
            [record(task="code", answer=tests, contents=[program])],
        )
        assert done.returncode == 0, done.stderr
        assert read(tmp_path)[0]["responses"][0]["reward"] == wanted


def test_a_verifier_that_hangs_is_a_time_out_and_no_zero(run, tmp_path):
    for name in ("backtracks", "swallows"):
        started = time.monotonic()
        done = run(
            f"qvl verify --verifier own:{name} --verdict-seconds 0.2 --max-error-rate 1 in.jsonl "
            "-o out.zst",
            [record(contents=["x", "once"][: 1 + (name == "backtracks")])],
        )
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - started < PATIENCE
        for response in read(tmp_path)[0]["responses"]:
            assert response["reward"] is None
            assert response["verdict"]["status"] == "timeout"
            assert response["verdict"]["detail"] == "no verdict within 0.2 s"


def test_a_verifier_that_no_alarm_interrupts_is_ended_and_the_next_response_is_judged(
    run, tmp_path
):
    started = time.monotonic()
    done = run(
        "qvl verify --verifier own:computes --verdict-seconds 1 --max-error-rate 1 in.jsonl -o out.zst",
        [record(contents=["42", "7", "42"])],
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < PATIENCE
    found = [one["verdict"]["status"] for one in read(tmp_path)[0]["responses"]]
    assert found[0] == found[2] == "ok" and found[1] in ("timeout", "error")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "chat"}, "no verifier for task 'chat'"),
        ({"answer": None}, "the record has no reference answer"),
        ({"task": "choice", "answer": "?"}, "expected a letter"),
    ],
)
def test_a_record_that_cannot_be_judged_is_an_error_and_no_zero(changes, said):
    found = verdict.judge({**record(), **changes}, {"content": "42"})
    assert (found.status, found.reward) == ("error", None)
    assert said in found.detail


def test_the_answer_is_taken_after_the_thinking():
    for content, expected in (("<think>43</think>42", 1), ("<think>42</think>43", 0), ("42", 1)):
        assert verdict.judge(record(), {"content": content}).reward == expected
    assert verdict.judge(record(), {"content": "43", "reasoning_content": "42"}).reward == 0


def test_no_responses_are_no_error(run, tmp_path):
    done = run("qvl verify in.jsonl -o out.zst", [record(contents=[])])
    assert done.returncode == 0
    assert "responses 0, ok 0" in done.stderr
    assert read(tmp_path)[0]["responses"] == []


def test_a_wrong_name_is_told_at_once_and_the_right_ones_are_listed(run):
    done = run("qvl verify --verifier nosuch in.jsonl", [record()])
    assert done.returncode == 2
    assert "--verifier nosuch: no such verifier" in done.stderr
    done = run("qvl verify --verifiers")
    names = [line.split()[0] for line in done.stdout.splitlines() if "--hybrid" not in line]
    assert names[:-1] == [*reward.REWARDS, *PENALTIES]


@isolated
def test_programs_are_run_and_one_out_of_time_failed(run, tmp_path):
    answer = {"tests": [{"stdin": "2\n", "stdout": "4\n"}]}
    good = "```python\nprint(2 * int(input()))\n```"
    done = run("qvl verify in.jsonl -o out.zst", [record("p", "code", answer, [good, "none", ""])])
    assert done.returncode == 0, done.stderr
    responses = read(tmp_path)[0]["responses"]
    assert [each["reward"] for each in responses] == [1, 0, 0]
    assert responses[0]["verdict"]["extracted"] == "print(2 * int(input()))\n"


GOLD = {
    "math": "42",
    "counting": 3,
    "choice": "B",
    "list": ["red", "blue"],
    "grounding": [[1, 2, 30, 40]],
    "logic": "Cid",
}
PIECES = ["\\boxed{", "}", "<answer>", "</answer>", "</think>", "<think>", "[1,2,3,4]", "1e999"]
PIECES += ["9" * 400, "\x00", "\ud7ff", "1/0", "-", ".", ",", "A", "B.", "{" * 50, "٣", "\n"]


@pytest.mark.parametrize("task", GOLD)
def test_hostile_answers_get_a_verdict(task):
    draw = random.Random(task)
    for _ in range(2000):
        content = "".join(draw.choices(PIECES, k=draw.randint(0, 12)))
        found = verdict.judge(record(task=task, answer=GOLD[task]), {"content": content}, None, 1)
        assert found.status == "ok", (content, found.detail)
