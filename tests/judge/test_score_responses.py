"""`qvl score-responses --judge`: grades of several judges, their spread, pairs in both orders."""

import json

import pytest
from fake_endpoint import FakeEndpoint, completion
from shells import shell

from qvl.io import jsonl

AXES = ("correctness", "completeness", "clarity", "helpfulness", "language", "style")


def grades(score, **other):
    return {"reason": "It is so.", **dict.fromkeys(AXES, score), **other}


def record(*contents, **fields):
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    responses = [{"content": content} for content in contents]
    return {"id": "r", "messages": messages, "responses": responses, **fields}


def graded_by_word(body, attempt):
    said = body["messages"][-1]["content"]
    said = said if isinstance(said, str) else json.dumps(said)
    for word, score in (("Paris", 5), ("Lyon", 2), ("Rome", 1)):
        if word in said:
            return completion(json.dumps(grades(score, vision=3)))
    return completion("I cannot say.")


@pytest.fixture
def run(tmp_path):
    def run(records, words, **env):
        jsonl.write(records, str(tmp_path / "in.zst"))
        done = shell(tmp_path)(f"qvl score-responses {words} in.zst -o out.zst", **env)
        out = tmp_path / "out.zst"
        return done, list(jsonl.read(str(out))) if done.returncode == 0 else []

    return run


def test_each_answer_gets_the_judges_grades_from_0_to_1_beside_the_rules(run):
    with FakeEndpoint(graded_by_word) as endpoint:
        done, (out,) = run([record("Paris.", "Lyon.")], f"--judge {endpoint.url}")
    assert done.returncode == 0, done.stderr
    first, second = (each["scores"] for each in out["responses"])
    assert (first["judge_correctness"], second["judge_correctness"]) == (1.0, 0.25)
    assert first["clarity"] == 1.0 and "judge_correctness_spread" not in first
    assert "judge_vision" not in first
    assert out["scores"]["score-responses"]["judge_style"] == 0.625


def test_images_are_shown_and_their_reading_is_graded(run, tmp_path, media):
    (tmp_path / "small.png").write_bytes((media / "small.png").read_bytes())
    seen = record("Paris.")
    seen["messages"][0]["content"] = [
        {"type": "image", "image": "small.png"},
        {"type": "text", "text": "Which city is it?"},
    ]
    with FakeEndpoint(graded_by_word) as endpoint:
        _, (out,) = run([seen], f"--judge {endpoint.url}")
    assert out["responses"][0]["scores"]["judge_vision"] == 0.5
    parts = endpoint.requests[-1][1]["messages"][-1]["content"]
    assert any(part["type"] == "image_url" for part in parts)


def test_several_judges_are_put_together_and_their_spread_is_told(run):
    def strict(body, attempt):
        return completion(json.dumps(grades(1)))

    with FakeEndpoint(graded_by_word) as kind, FakeEndpoint(strict) as harsh:
        words = f"--judge {kind.url} --judge-model a --judge {harsh.url} --judge-model b"
        _, (mean,) = run([record("Paris.")], words)
        _, (least,) = run([record("Paris.")], f"{words} --aggregate min")
    scores = mean["responses"][0]["scores"]
    assert (scores["judge_correctness"], scores["judge_correctness_spread"]) == (0.5, 1.0)
    assert least["responses"][0]["scores"]["judge_correctness"] == 0.0


def test_what_cannot_be_read_is_an_error_and_no_grade(run):
    with FakeEndpoint(graded_by_word) as endpoint:
        done, (out,) = run(
            [record("Paris.", "Oslo.")], f"--judge {endpoint.url} --max-error-rate 0.5"
        )
    assert done.returncode == 0, done.stderr
    bad = out["responses"][1]["scores"]
    assert bad["judge_errors"] == 1 and "judge_correctness" not in bad


def test_a_threshold_on_a_judges_axis_takes_responses_out(run):
    with FakeEndpoint(graded_by_word) as endpoint:
        words = f"--judge {endpoint.url} --min judge_helpfulness=0.5 --rejects bad.zst"
        _, (out,) = run([record("Paris.", "Lyon.")], words)
        wrong, _ = run([record("Paris.")], f"--judge {endpoint.url} --min judge_beauty=0.5")
    assert [each["content"] for each in out["responses"]] == ["Paris."]
    assert wrong.returncode == 2 and "judge_helpfulness" in wrong.stderr


def test_pairs_are_asked_in_both_orders_and_a_preference_for_the_first_is_a_tie(run):
    def first_is_better_unless_rome(body, attempt):
        said = body["messages"][-1]["content"]
        one, other = said.index("response-A"), said.index("response-B")
        rome = said.find("Rome")
        better = "A" if rome < 0 else "B" if one < rome < other else "A"
        return completion(json.dumps({"reason": "so", "better": better}))

    with FakeEndpoint(first_is_better_unless_rome) as endpoint:
        words = f"--judge {endpoint.url} --pairwise"
        _, (out,) = run([record("Paris.", "Lyon.", "Rome.")], words)
    assert len(endpoint.requests) == 6
    wins = [each["scores"]["judge_wins"] for each in out["responses"]]
    assert wins == [0.75, 0.75, 0.0]


def test_a_killed_or_dead_judge_leaves_what_was_paid(run, tmp_path):
    records = [{**record("Paris."), "id": f"r{n}"} for n in range(20)]
    seen = []

    def dies(body, attempt):
        seen.append(1)
        return graded_by_word(body, attempt) if len(seen) <= 8 or len(seen) > 12 else (401, {}, {})

    with FakeEndpoint(dies) as endpoint:
        words = f"--judge {endpoint.url} --concurrency 1 --resume"
        done, _ = run(records, words)
        assert done.returncode != 0 and "Traceback" not in done.stderr
        while done.returncode != 0 and len(seen) < 40:
            done, out = run(records, words)
    assert len(out) == 20
    assert sum(1 for _ in seen) <= 20 + 4
