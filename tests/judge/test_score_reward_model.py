"""`qvl score-responses --reward-model`: a score on each answer, alone and beside a judge."""

import json

import pytest
from fake_endpoint import FakeEndpoint, completion
from shells import shell
from test_client_scoring import SGLANG, VLLM

from qvl.io import jsonl


def by_length(body, attempt):
    """The longer the answer, the better."""
    value = len(body["messages"][-1]["content"]) - 10.0
    return 200, {}, {"data": [{"probs": [value]}], "usage": {"prompt_tokens": 5}}


def record(*contents, identity="r"):
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    responses = [{"content": content} for content in contents]
    return {"id": identity, "messages": messages, "responses": responses}


@pytest.fixture
def run(tmp_path):
    def run(records, words):
        jsonl.write(records, str(tmp_path / "in.zst"))
        done = shell(tmp_path)(f"qvl score-responses {words} in.zst -o out.zst")
        out = tmp_path / "out.zst"
        return done, list(jsonl.read(str(out))) if done.returncode == 0 else []

    return run


def test_each_answer_has_the_raw_score_beside_the_rules(run):
    thought = "<think>It is a city.</think>Paris."
    with FakeEndpoint(by_length, VLLM) as fake:
        done, (out,) = run([record(thought, "It is Paris.")], f"--reward-model {fake.url}")
    assert done.returncode == 0, done.stderr
    scores = [one["scores"] for one in out["responses"]]
    assert [each["reward_model"] for each in scores] == [-4.0, 2.0]  # the thought is not read
    assert scores[0]["completeness"] == 1.0
    assert out["scores"]["score-responses"]["reward_model"] == -1.0


def test_a_final_turn_is_scored_by_itself(run):
    turn = record()
    turn["messages"].append({"role": "assistant", "content": "Paris, it is."})
    with FakeEndpoint(by_length, VLLM) as fake:
        _, (out,) = run([turn], f"--reward-model {fake.url}")
    assert out["scores"]["score-responses"]["reward_model"] == 3.0
    ((_, body),) = fake.requests
    assert [each["role"] for each in body["messages"]] == ["user", "assistant"]


def test_a_judge_grades_the_same_answers(run):
    axes = ("correctness", "completeness", "clarity", "helpfulness", "language", "style")
    said = completion(json.dumps({"reason": "So.", **dict.fromkeys(axes, 5)}))
    with FakeEndpoint(by_length, VLLM) as fake, FakeEndpoint(lambda *_: said) as judge:
        done, (out,) = run([record("Paris.")], f"--reward-model {fake.url} --judge {judge.url}")
    assert done.returncode == 0, done.stderr
    scores = out["responses"][0]["scores"]
    assert (scores["judge_correctness"], scores["reward_model"]) == (1.0, -4.0)


def test_a_threshold_is_of_the_raw_score(run):
    with FakeEndpoint(by_length, VLLM) as fake:
        words = f"--reward-model {fake.url} --min reward_model=-1.5"
        done, (out,) = run([record("Paris.", "It is Paris.")], words)
    assert done.returncode == 0, done.stderr
    assert [one["content"] for one in out["responses"]] == ["It is Paris."]


def test_what_a_server_refuses_is_an_error_and_no_score(run):
    seen = record("Paris.")
    seen["messages"][0]["content"] = [{"type": "image", "image": "data:image/png;base64,aaaa"}]
    with FakeEndpoint(by_length, SGLANG) as fake:
        done, (out,) = run([seen], f"--reward-model {fake.url} --max-error-rate 1")
    assert done.returncode == 0, done.stderr
    scores = out["responses"][0]["scores"]
    assert scores["reward_model_errors"] == 1 and "reward_model" not in scores
    with FakeEndpoint(by_length, SGLANG) as fake:
        many = [{**seen, "id": str(n)} for n in range(20)]
        assert run(many, f"--reward-model {fake.url}")[0].returncode == 3


def test_a_run_cut_by_its_budget_goes_on_to_the_same_bytes(run, tmp_path):
    records = [record(f"Paris {n}.", identity=str(n)) for n in range(8)]
    with FakeEndpoint(by_length, VLLM) as fake:
        options = f"--reward-model {fake.url} --concurrency 1"
        _, whole = run(records, options)
        before = len(fake.requests)
        (tmp_path / "out.zst").unlink()
        assert run(records, f"{options} --max-total-tokens 15")[0].returncode == 3
        done, resumed = run(records, f"{options} --resume")
    assert done.returncode == 0, done.stderr
    assert resumed == whole
    assert len(fake.requests) - before == len(records)  # none was paid for twice


def test_what_needs_a_model_says_so(run):
    done, _ = run([record("Paris.")], "--resume")
    assert done.returncode == 2 and "--reward-model" in done.stderr
