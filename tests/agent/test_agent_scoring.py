"""`qvl agent-score` and `qvl agent-budget`: judges that see trajectories with their images, and questions."""

import json
import re

import pytest
from fake_endpoint import FakeEndpoint, completion
from PIL import Image
from shells import shell

from qvl.io import jsonl

BOX = [100, 100, 200, 200]


def episode(content, *, calls=1, thought="I see a five in the crop."):
    call = {
        "name": "image_zoom_in_tool",
        "arguments": {"bbox_2d": BOX, "label": "card", "img_idx": 0},
    }
    turns = []
    for _ in range(calls):
        turns.append(
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "function", "function": call}],
            }
        )
        turns.append({"role": "tool", "content": [{"type": "image", "image": "crop.png"}]})
    turns.append({"role": "assistant", "content": content, "reasoning_content": thought})
    return {
        "content": content,
        "messages": turns,
        "calls": [{"turn": n + 1, **call, "failed": False} for n in range(calls)],
        "num_calls": calls,
        "finish_reason": "stop",
    }


@pytest.fixture
def folder(tmp_path):
    for name in ("scene.png", "crop.png"):
        Image.new("RGB", (64, 64), "red").save(tmp_path / name)
    content = [
        {"type": "image", "image": "scene.png"},
        {"type": "text", "text": "Read the card."},
    ]
    records = [
        {
            "id": f"r{number}",
            "task": "number",
            "answer": "5",
            "calls_needed": 1,
            "evidence": [{"bbox_2d": BOX, "img_idx": 0}],
            "messages": [{"role": "user", "content": content}],
            "responses": [episode("5"), episode("6"), episode("5", calls=0), episode("5", calls=2)],
        }
        for number in range(2)
    ]
    jsonl.write(records, str(tmp_path / "in.zst"))
    return tmp_path


def scored(folder, line):
    done = shell(folder)(line)
    assert done.returncode == 0, done.stderr
    return done, list(jsonl.read(str(folder / "out.zst")))


def test_without_a_judge_the_answer_and_the_calls_are_scored(folder):
    done, records = scored(folder, "qvl agent-score in.zst -o out.zst")
    for record in records:
        assert [each["reward"] for each in record["responses"]] == [1.3, 0.0, 1.0, 1.0]
        assert [each["rewards"]["calls"] for each in record["responses"]] == [1, 1, 0, 0]
    assert "calls needed  accuracy   calls" in done.stderr
    assert "           1      75.0    1.00" in done.stderr


def judge(body, attempt):
    """An answer is right if it is 5; a budget is one call more per estimate; else praise."""
    wanted = body["response_format"]["json_schema"]["schema"]["properties"]
    content = body["messages"][-1]["content"]
    text = content if isinstance(content, str) else "".join(x.get("text", "") for x in content)
    if "calls" in wanted:
        return completion(json.dumps({"reason": "One card.", "calls": attempt}))
    if "correct" in wanted:
        (answer,) = re.findall(r"<answer-\w+>\n(.*?)\n</", text, re.DOTALL)
        return completion(json.dumps({"reason": "It is.", "correct": answer.startswith("5")}))
    return completion(json.dumps({"reason": "It looks.", "interprets": 5, "coherent": 3}))


def test_a_judge_reads_the_trajectory_with_the_images_of_its_tools(folder):
    with FakeEndpoint(judge) as endpoint:
        _, records = scored(folder, f"qvl agent-score --judge {endpoint.url} in.zst -o out.zst")
        bodies = [body for _, body in endpoint.requests]
    first = records[0]["responses"][0]
    assert first["rewards"] == {"number": 1.0, "calls": 1.0, "reasoning": 0.75}
    assert first["reward"] == pytest.approx(1 + 0.3 + 0.3 * 0.75)
    assert (
        records[0]["responses"][2]["reward"] == 1.0
    )  # no call: the judge's praise is worth nothing
    with_a_call = [body for body in bodies if "(calls)" in json.dumps(body)]
    images = [
        sum(part["type"] == "image_url" for part in body["messages"][-1]["content"])
        for body in with_a_call
    ]
    assert sorted(set(images)) == [2, 3]  # the scene, and one crop or two


def test_judges_may_decide_the_answer_but_none_that_argues_at_length(folder):
    records = list(jsonl.read(str(folder / "in.zst")))
    records[0]["responses"][0]["content"] = "5 " * 600
    jsonl.write(records, str(folder / "in.zst"))
    with FakeEndpoint(judge) as endpoint:
        line = f"qvl agent-score --judge {endpoint.url} --judge-answers --answers-only in.zst -o out.zst"
        _, found = scored(folder, line)
    assert [each["rewards"]["judge"] for each in found[0]["responses"]] == [0, 0, 1, 1]
    assert "over 1000 characters" in found[0]["responses"][0]["verdict"]["detail"]


def test_a_judge_that_cannot_be_read_gives_no_reward(folder):
    with FakeEndpoint(lambda body, attempt: completion("Well.")) as endpoint:
        line = f"qvl agent-score --judge {endpoint.url} --max-error-rate 1 in.zst -o out.zst"
        _, records = scored(folder, line)
        assert {each["reward"] for record in records for each in record["responses"]} == {None}
        line = line.replace("--max-error-rate 1 ", "")
        assert shell(folder)(line).returncode == 3


def test_a_budget_is_estimated_once_and_kept(folder):
    records = list(jsonl.read(str(folder / "in.zst")))
    del records[0]["calls_needed"]
    jsonl.write(records, str(folder / "in.zst"))
    with FakeEndpoint(judge) as endpoint:
        line = f"qvl agent-budget --judge {endpoint.url} -n 3 in.zst -o out.zst"
        _, found = scored(folder, line)
        assert len(endpoint.requests) == 3
        assert all('"5"' not in json.dumps(body["messages"]) for _, body in endpoint.requests)
    assert found[0]["calls_needed"] == 2  # the middle one
    estimates = found[0]["scores"]["agent-budget"]
    assert (sorted(estimates["calls"]), estimates["spread"]) == ([1, 2, 3], 2)
    assert found[1] == records[1]
