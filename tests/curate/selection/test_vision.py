"""`qvl filter-vision`: what is solved without its image goes; half of the samples may settle it."""

import time

import pytest
from fake_endpoint import FakeEndpoint, completion, question
from shells import shell

from qvl.curate.selection.vision import without_media
from qvl.io import jsonl

IMAGE = {"type": "image", "image": "a.png"}


def seen(identity, words, answer: str | None = "42", **fields):
    content = [IMAGE, {"type": "text", "text": words}]
    messages = [{"role": "user", "content": content}]
    return {"id": identity, "task": "math", "answer": answer, "messages": messages, **fields}


@pytest.fixture
def run(tmp_path):
    def run(records, endpoint, words=""):
        jsonl.write(records, str(tmp_path / "in.zst"))
        done = shell(tmp_path)(
            f"qvl filter-vision --text-endpoint {endpoint.url} {words} --rejects bad.zst in.zst -o out.zst",
            PYTHONPATH=str(tmp_path),
        )
        kept, bad = (
            list(jsonl.read(str(tmp_path / name))) if (tmp_path / name).exists() else []
            for name in ("out.zst", "bad.zst")
        )
        return done, kept, bad

    return run


def guesses(body, attempt):
    if "solved" in question(body):
        return completion("42")
    if "half" in question(body):
        return completion("42" if body["seed"] % 2 else "7")
    return completion("7")


def test_what_a_blind_model_solves_is_dropped_with_its_rate(run):
    records = [seen("a", "solved: how many?"), seen("b", "hidden: how many?")]
    with FakeEndpoint(guesses) as endpoint:
        done, kept, bad = run(records, endpoint)
    assert done.returncode == 0, done.stderr
    assert [each["id"] for each in kept] == ["b"]
    assert kept[0]["scores"]["filter-vision"]["pass_rate"] == 0
    assert bad[0]["reject"]["reason"] == "solved-blind"
    assert bad[0]["scores"]["filter-vision"]["passed"] == 4
    assert kept[0]["messages"] == records[1]["messages"]


def test_no_image_is_sent_and_no_placeholder(run):
    with FakeEndpoint(guesses) as endpoint:
        marks = "<image>\n<|vision_start|><|image_pad|><|vision_end|>"
        run([seen("a", f"{marks}hidden: how many?")], endpoint)
    assert {question(body) for _, body in endpoint.requests} == {"hidden: how many?"}


def test_half_of_the_samples_are_enough_where_they_settle_it(run):
    with FakeEndpoint(guesses) as endpoint:
        run([seen("a", "hidden: how many?")], endpoint, "-n 4 --max-pass-rate 0.5")
        few = len(endpoint.requests)
        run([seen("b", "solved: how many?")], endpoint, "-n 4 --max-pass-rate 0.25")
    assert few == 2 and len(endpoint.requests) == 4


def test_what_has_no_image_passes_and_what_cannot_be_judged_does_not(run):
    text = {
        "id": "t",
        "task": "math",
        "answer": "1",
        "messages": [{"role": "user", "content": "1?"}],
    }
    with FakeEndpoint(guesses) as endpoint:
        _, kept, bad = run([text, seen("u", "how many?", answer=None)], endpoint)
    assert kept == [text] and endpoint.requests == []
    assert bad[0]["reject"]["reason"] == "not-verifiable"


def test_a_question_that_is_the_image_alone_needs_it():
    assert without_media({"messages": [{"role": "user", "content": [IMAGE]}]}) is None


def test_a_dead_endpoint_is_status_4_and_resume_ends_in_the_same_bytes(run, tmp_path):
    class Gone:
        url = "http://127.0.0.1:9"

    records = [seen(f"r{n}", f"half: how many of {n}?") for n in range(12)]
    done, *_ = run(records, Gone, "--model fake --retries 0")
    assert done.returncode == 4 and len(done.stderr.splitlines()) == 1
    with FakeEndpoint(guesses) as endpoint:
        resumed, kept, _ = run(records, endpoint, "--model fake --resume")
        assert resumed.returncode == 0, resumed.stderr
        (tmp_path / "out.zst").unlink()
        _, again, _ = run(records, endpoint, "--model fake")
    assert kept == again


def test_the_second_halves_are_asked_together(run):
    second_halves, most = [], 0

    def slowly(body, attempt):
        nonlocal most
        if attempt > 2:
            second_halves.append(question(body))
            most = max(most, len(set(second_halves)))
        time.sleep(0.2)
        if attempt > 2:
            second_halves.remove(question(body))
        return guesses(body, attempt)

    records = [seen(f"r{n}", f"half: how many of {n}?") for n in range(24)]
    with FakeEndpoint(slowly) as endpoint:
        done, kept, bad = run(records, endpoint, "--concurrency 96")
    assert done.returncode == 0, done.stderr
    open_after_half = sum(row["scores"]["filter-vision"]["asked"] == 4 for row in [*kept, *bad])
    assert open_after_half >= 6
    assert most > 2  # questions, each in its second half


OWN = """
def judges(record, response):
    if response["content"] == "7":
        raise KeyError("broken")
    return response["content"] == "42"
"""


def test_a_verifier_that_fails_is_an_error_and_no_failed_answer(run, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    records = [seen("a", "solved: how many?"), seen("b", "hidden: how many?")]
    with FakeEndpoint(guesses) as endpoint:
        done, kept, bad = run(records, endpoint, "--verifier own:judges --max-error-rate 0.5")
        assert done.returncode == 0, done.stderr
        assert kept == []
        assert [row["reject"]["reason"] for row in bad] == ["solved-blind", "not-judged"]
        assert bad[1]["scores"]["filter-vision"] == {"asked": 4, "passed": 0, "errors": 4}
        many = [seen(f"r{n}", f"hidden: how many of {n}?") for n in range(8)]
        done, _, _ = run(many, endpoint, "--verifier own:judges")
    assert done.returncode == 3
    assert "over --max-error-rate 0.05" in done.stderr
