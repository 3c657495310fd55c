"""`qvl eval` through a shell, against the local engine and against servers that misbehave."""

import json
import os
import signal
import subprocess
import threading
import time
from unittest.mock import Mock

import pytest
from fake_endpoint import FakeEndpoint, completion, question
from patience import PATIENCE
from shells import shell

from qvl.evaluate import answers
from qvl.io import jsonl
from qvl.pending import Ready
from qvl.reward import Verdict

DEAD = "http://127.0.0.1:9"


def record(i, answer, **fields):
    messages = [{"role": "user", "content": f"What is {i}?"}]
    base = {"id": f"r{i}", "messages": messages, "answer": answer, "task": "math", "source": "s"}
    return {**base, **fields}


@pytest.fixture
def run(tmp_path):
    """Run a shell line in a folder that holds tasks.jsonl of the records given."""

    def line(words, records=(), **env):
        if records:
            jsonl.write(records, str(tmp_path / "tasks.jsonl"), plain=True)
        return shell(tmp_path)(words, OMP_NUM_THREADS="1", **env)

    return line


def right(body, attempt):
    """Answers "What is N?" with N."""
    return completion(question(body).removeprefix("What is ").rstrip("?"))


def scored(path):
    return list(jsonl.read(str(path)))


def test_records_are_scored_in_order_and_the_summary_is_honest(run, tmp_path):
    records = [record(i, str(i if i % 4 else 0), source=f"s{i % 2}") for i in range(40)]
    with FakeEndpoint(right) as fake:
        done = run(
            f"qvl eval --endpoint {fake.url} -o out.zst --report r.json --min s1=1 tasks.jsonl",
            records,
        )
    assert done.returncode == 0, done.stderr
    found = scored(tmp_path / "out.zst")
    assert [each["id"] for each in found] == [f"r{i}" for i in range(40)]
    (response,) = found[1]["responses"]
    assert response == {
        "content": "1",
        "finish_reason": "stop",
        "num_tokens": 2,
        "model": "fake",
        "sampling": {"temperature": 0.0},
        "reward": 1.0,
        "rewards": {"math": 1.0},
        "verdict": {"verifier": "math", "status": "ok", "extracted": "1", "detail": ""},
    }
    lines = [" ".join(line.split()) for line in done.stderr.splitlines()]
    assert lines[0].startswith("qvl eval: 40 read, 40 kept")
    assert "s0 20 55.0 34.2 to 74.2 50.0 2.0 0" in lines
    assert "s1 20 100.0 83.9 to 100.0 5.0 2.0 0" in lines
    groups = json.loads((tmp_path / "r.json").read_text())["groups"]
    assert [(g["group"], g["accuracy"]) for g in groups] == [
        ("s0", 0.55),
        ("s1", 1),
        ("all", 0.775),
    ]


OWN = """
import time


def hang(record, response):
    if response["content"] == "3":
        time.sleep(600)
    if response["content"] == "4":
        raise KeyError("no such thing")
    return response["content"] == record["answer"]


def always_hang(record, response):
    time.sleep(600)
"""


def test_a_reward_that_hangs_or_crashes_gives_no_reward_and_is_counted(run, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    records = [record(i, str(i) if i != 2 else "9") for i in range(1, 5)]
    with FakeEndpoint(right) as fake:
        command = f"qvl eval --endpoint {fake.url} -o out.zst --report r.json tasks.jsonl"
        command = f"{command} --verifier own:hang --verdict-seconds 0.5"
        done = run(f"{command} --max-error-rate 1", records, PYTHONPATH=str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        report = json.loads((tmp_path / "r.json").read_text())
        assert report["seconds"] < PATIENCE
        found = [each["responses"][0] for each in scored(tmp_path / "out.zst")]
        assert [each["reward"] for each in found] == [1, 0, None, None]
        verdicts = [each["verdict"] for each in found]
        assert [each["status"] for each in verdicts] == ["ok", "ok", "timeout", "error"]
        assert verdicts[2]["detail"] == "no verdict within 0.5 s"
        assert verdicts[3]["detail"] == "KeyError: 'no such thing'"
        assert report["notes"]["error"] == report["notes"]["timeout"] == 1
        assert [(g["group"], g["records"], g["accuracy"]) for g in report["groups"]] == [
            ("s", 2, 0.5),
            ("all", 2, 0.5),
        ]
        done = run(f"rm out.zst; {command}", PYTHONPATH=str(tmp_path))
    assert done.returncode == 3
    assert "no verdict on 2 of 4 responses, over --max-error-rate 0.05" in done.stderr


def test_a_reward_that_hangs_even_on_nothing_does_not_hold_up_the_run(run, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    with FakeEndpoint(right) as fake:
        started = time.monotonic()
        done = run(
            f"qvl eval --endpoint {fake.url} --verifier own:always_hang --verdict-seconds 0.3 "
            "-o out.zst tasks.jsonl",
            [record(1, "1")],
            PYTHONPATH=str(tmp_path),
        )
    assert done.returncode == 3, done.stderr
    assert time.monotonic() - started < PATIENCE
    assert "no verdict within 0.3 s" in done.stderr


@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two cores")
def test_programs_are_judged_side_by_side(monkeypatch):
    meeting = threading.Barrier(2)

    def judge(record, response, verifier, seconds):
        meeting.wait(PATIENCE)
        return Verdict("ok", 1.0)

    monkeypatch.setattr(answers, "judge", judge)
    two = Ready([{"content": "print(7)"}, {"content": "print(8)"}])
    monkeypatch.setattr(answers.samples, "submit", lambda *_: two)
    code = record(1, {"tests": [{"stdin": "", "stdout": "7"}]}, task="code")
    evaluator = answers.Evaluator(client=Mock(), config=Mock())
    found = evaluator.submit(code).result()
    assert [each["reward"] for each in found["responses"]] == [1, 1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--reward math", "qvl: error: --reward is called --verifier now; say --verifier math\n"),
        ("--verifier nosuch", "qvl: error: --verifier nosuch: no such verifier; known: exact, "),
        ("--verifier own:nosuch", "qvl: error: --verifier own:nosuch: "),
    ],
)
def test_a_wrong_verifier_is_reported_by_the_flag_that_was_given(run, tmp_path, words, said):
    (tmp_path / "own.py").write_text(OWN)
    done = run(
        f"qvl eval --endpoint {DEAD} {words} tasks.jsonl",
        [record(1, "1")],
        PYTHONPATH=str(tmp_path),
    )
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def test_a_task_that_names_no_verifier_is_reported_as_a_task(run, tmp_path):
    with FakeEndpoint(right) as fake:
        done = run(
            f"qvl eval --endpoint {fake.url} tasks.jsonl", [record(1, "1", task="nowhere:score")]
        )
    assert done.returncode == 2
    assert "task nowhere:score: No module named 'nowhere'" in done.stderr
    assert "--verifier" not in done.stderr and "--reward" not in done.stderr


def test_under_the_least_accuracy_the_status_is_3_and_the_scores_are_kept(run, tmp_path):
    with FakeEndpoint(right) as fake:
        done = run(
            f"qvl eval --endpoint {fake.url} -o out.zst --min all=0.6 tasks.jsonl",
            [record(1, "1"), record(2, "3")],
        )
    assert done.returncode == 3
    assert "all: accuracy 50.0, below the minimum of 60" in done.stderr
    assert len(scored(tmp_path / "out.zst")) == 2


def test_a_dead_endpoint_is_status_4_and_leaves_nothing_that_looks_done(run, tmp_path):
    done = run(f"qvl eval --endpoint {DEAD} --retries 1 -o out.zst tasks.jsonl", [record(1, "1")])
    assert done.returncode == 4
    assert "no answer after 2 attempts" in done.stderr
    assert f"{DEAD}: connection refused" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.zst").exists()


def test_an_endpoint_that_dies_midway_is_status_4_and_resume_pays_only_for_the_rest(run, tmp_path):
    records = [record(i, str(i)) for i in range(30)]
    command = "qvl eval --concurrency 2 --retries 0 -o out.zst tasks.jsonl"

    def dies(body, attempt):
        return right(body, attempt) if len(fake.requests) <= 20 else (500, {}, "down")

    with FakeEndpoint(dies) as fake:
        done = run(f"{command} --endpoint {fake.url}", records)
    assert done.returncode == 4
    assert (tmp_path / "out.zst.journal").exists()
    with FakeEndpoint(right) as fake:
        done = run(f"{command} --endpoint {fake.url} --resume")
    assert done.returncode == 0, done.stderr
    assert len(fake.requests) < 30
    assert [each["responses"][0]["reward"] for each in scored(tmp_path / "out.zst")] == [1.0] * 30


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (record(9, None), "unverifiable"),
        (record(9, "9", task="chat"), "unverifiable"),
        (record(9, "9", messages=[{"role": "assistant", "content": "9"}]), "no-question"),
        (record(9, "9", messages=[]), "unsound"),
        (record(13, "13"), "refused"),
        (
            record(
                9, "9", messages=[{"role": "user", "content": [{"type": "image", "image": "n"}]}]
            ),
            "refused",
        ),
    ],
)
def test_a_record_that_cannot_be_evaluated_stops_or_goes_to_the_rejects(run, tmp_path, bad, reason):
    def answer(body, attempt):
        refused = (400, {}, {"error": {"message": "thirteen"}})
        return refused if "13" in question(body) else right(body, attempt)

    records = [record(1, "1"), bad, record(2, "2")]
    with FakeEndpoint(answer) as fake:
        command = f"qvl eval --endpoint {fake.url} tasks.jsonl -o out.zst"
        done = run(command, records)
        assert done.returncode == 2
        assert f"record '{bad['id']}'" in done.stderr
        done = run(f"rm -f *.journal; {command} --on-error reject --rejects rejects.zst")
        assert done.returncode == 0, done.stderr
    assert [each["id"] for each in scored(tmp_path / "out.zst")] == ["r1", "r2"]
    (rejected,) = scored(tmp_path / "rejects.zst")
    assert (rejected["id"], rejected["reject"]["reason"]) == (bad["id"], reason)


def test_samples_are_seeded_by_record_and_index(run, tmp_path):
    with FakeEndpoint(right) as fake:
        command = f"qvl eval --endpoint {fake.url} -o out.zst tasks.jsonl"
        done = run(f"{command} --num-samples 3 --temperature 0.7", [record(1, "1"), record(2, "2")])
        assert done.returncode == 0, done.stderr
        seeds = [
            each["sampling"]["seed"]
            for r in scored(tmp_path / "out.zst")
            for each in r["responses"]
        ]
        assert len(set(seeds)) == 6
        assert sorted(body["seed"] for _, body in fake.requests) == sorted(seeds)
        done = run(f"{command} --num-samples 3")
    assert done.returncode == 2
    assert "all the same answer" in done.stderr


def test_ctrl_c_is_130_and_ends_at_once(run, tmp_path):
    hold = threading.Event()

    def answer(body, attempt):
        hold.wait(20)
        return completion("x")

    jsonl.write([record(i, "1") for i in range(100)], str(tmp_path / "tasks.jsonl"), plain=True)
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with FakeEndpoint(answer) as fake:
            done = subprocess.Popen(
                ["qvl", "eval", "--endpoint", fake.url, "-o", "out.zst", "tasks.jsonl"],
                cwd=tmp_path,
                stderr=subprocess.PIPE,
                text=True,
            )
            while not fake.requests:
                time.sleep(0.01)
            done.send_signal(number)
            _, errors = done.communicate(timeout=PATIENCE)
            assert done.returncode == status, errors
            assert "Traceback" not in errors
            hold.set()
        hold.clear()
        assert not (tmp_path / "out.zst.journal").exists()  # nothing was answered
    assert not (tmp_path / "out.zst").exists()


def test_the_key_is_in_no_output(run, tmp_path):
    with FakeEndpoint(right) as fake:
        done = run(
            f"qvl eval --endpoint {fake.url} -o out.zst --report r.json tasks.jsonl",
            [record(1, "1")],
            QVL_API_KEY="k-secret",
        )
    assert fake.requests[0][0]["Authorization"] == "Bearer k-secret"
    lineage = run("qvl lineage out.zst").stdout
    report = (tmp_path / "r.json").read_text()
    assert "k-secret" not in done.stdout + done.stderr + lineage + report
    assert "k-secret" not in json.dumps(scored(tmp_path / "out.zst"))


def test_images_reach_the_local_engine_and_answers_come_back(run, tmp_path, served, media):
    parts = [{"type": "image", "image": "wide.png"}, {"type": "text", "text": "What?"}]
    records = [record(i, "3", messages=[{"role": "user", "content": parts}]) for i in range(3)]
    records.append(record(4, "4"))
    done = run(
        f"qvl eval --max-tokens 5 --media-root {media} tasks.jsonl | zstdcat",
        records,
        QVL_ENDPOINT=served.url,
    )
    assert done.returncode == 0, done.stderr
    responses = [json.loads(line)["responses"][0] for line in done.stdout.splitlines()]
    assert [each["model"] for each in responses] == ["twin"] * 4
    assert all(1 <= each["num_tokens"] <= 5 for each in responses)
    assert len({each["content"] for each in responses[:3]}) == 1


def test_without_an_endpoint_the_error_says_what_to_do(run):
    done = run("qvl eval tasks.jsonl", [record(1, "1")])
    assert done.returncode == 2
    assert "--endpoint URL" in done.stderr
