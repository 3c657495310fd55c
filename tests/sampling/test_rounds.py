"""`qvl generate --early-stop`: settled records get no more samples, and their class is that of all samples."""

import random

import pytest
from fake_endpoint import FakeEndpoint, completion, question
from shells import shell

from qvl.curate.selection.difficulty import Difficulty
from qvl.io import jsonl
from qvl.reward import Verdict
from qvl.sampling.rounds import PassCount, sizes
from qvl.stage import Drop


def query(identity, words, **fields):
    messages = [{"role": "user", "content": words}]
    return {"id": identity, "task": "math", "answer": "42", "messages": messages, **fields}


@pytest.fixture
def run(tmp_path):
    def run(records, url, words="", out="out.zst"):
        jsonl.write(records, str(tmp_path / "in.zst"))
        line = f"qvl generate -n 16 --endpoint {url} --model fake {words} in.zst -o {out}"
        done = shell(tmp_path)(line)
        path = tmp_path / out
        return done, list(jsonl.read(str(path))) if path.exists() else []

    return run


def guesses(body, attempt):
    """Right always, never, or as the seed has it."""
    said = question(body)
    right = "easy" in said or ("even" in said and body["seed"] % 2 == 0)
    return completion("42" if right else "7")


def test_sixteen_samples_stop_where_no_further_one_could_change_the_class(run):
    records = [query("a", "easy: what?"), query("b", "hard: what?")]
    with FakeEndpoint(guesses) as endpoint:
        done, found = run(records, endpoint.url, "--early-stop 0.5")
    assert done.returncode == 0, done.stderr
    assert [len(each["responses"]) for each in found] == [12, 8]
    assert "samples saved 12" in done.stderr
    assert [one["reward"] for one in found[0]["responses"]] == [1.0] * 12
    assert found[1]["responses"][0]["verdict"]["extracted"] == "7"


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5, 0.9])
def test_filter_difficulty_says_of_them_what_it_says_of_all(run, rate):
    kinds = ("easy", "hard", "even", "even")
    records = [query(f"r{i}", f"{kinds[i % 4]} {i}: what?") for i in range(24)]
    with FakeEndpoint(guesses) as endpoint:
        _, some = run(records, endpoint.url, f"--early-stop {rate}")
        _, whole = run(records, endpoint.url, "--early-stop 1", out="whole.zst")
        _, every = run(records, endpoint.url, out="all.zst")
    assert all(len(each["responses"]) == 16 for each in every)
    assert sum(len(each["responses"]) for each in some) < 24 * 16
    hard = Difficulty(max_pass_rate=rate)
    judged = shell_verified(every)
    assert [isinstance(hard(each), Drop) for each in some] == [
        isinstance(hard(each), Drop) for each in judged
    ]
    for few, many in zip(some, every, strict=True):
        asked = [one["content"] for one in few["responses"]]
        assert asked == [one["content"] for one in many["responses"]][: len(asked)]
    assert all(len(each["responses"]) == 4 for each in whole)  # a rate of 1 is never exceeded


def shell_verified(records):
    from qvl.reward.verify import Verify

    return [Verify()(each) for each in records]


def test_a_class_is_settled_only_where_all_the_rest_could_not_change_it():
    draw = random.Random(0)
    for _ in range(3000):
        total, rate = draw.randint(1, 20), draw.choice([0, 0.1, 0.25, 0.5, 0.9, 1])
        chances = draw.choice([(1, 0, 0), (0, 1, 0), (5, 5, 1), (1, 9, 1), (9, 1, 0)])
        rewards = draw.choices([1.0, 0.0, None], chances, k=total)
        tally, hard = PassCount(total), Difficulty(max_pass_rate=rate)
        for reward in rewards:
            tally.add(Verdict("ok" if reward is not None else "error", reward))
            if tally.is_settled(rate):
                break
        if tally.judged and tally.is_settled(rate):
            asked = {"responses": [{"reward": each} for each in rewards[: tally.sampled]]}
            for rest in (0.0, 1.0):
                every = [
                    *asked["responses"],
                    *({"reward": rest} for _ in range(total - tally.sampled)),
                ]
                assert isinstance(hard({"id": "a", **asked}), Drop) == isinstance(
                    hard({"id": "a", "responses": every}), Drop
                )


def test_rounds_are_as_many_as_there_are_samples_for():
    assert sizes(16, 4) == [4, 4, 4, 4]
    assert sizes(5, 2) == [2, 3]
    assert sizes(3, 4) == [1, 1, 1]
    assert sizes(1, 2) == [1]


def test_what_no_verifier_judges_gets_all_its_samples(run):
    records = [query("a", "easy: what?", answer=None)]
    with FakeEndpoint(guesses) as endpoint:
        done, found = run(records, endpoint.url, "--early-stop 0.5")
    assert done.returncode == 0, done.stderr
    assert len(found[0]["responses"]) == 16
    assert "verdict" not in found[0]["responses"][0]


def test_a_record_that_is_refused_stops_the_run_or_goes_to_the_rejects(run, tmp_path):
    def refuses(body, attempt):
        if "bad" in question(body):
            return 400, {}, {"error": {"message": "too long"}}
        return guesses(body, attempt)

    records = [query("a", "easy: what?"), query("b", "bad: what?"), query("c", "hard: what?")]
    with FakeEndpoint(refuses) as endpoint:
        done, _ = run(records, endpoint.url, "--early-stop 0.5")
        assert done.returncode == 2
        assert "record 'b': " in done.stderr and done.stderr.count("\n") == 1
        words = "--early-stop 0.5 --resume --on-error reject --rejects bad.zst"
        done, found = run(records, endpoint.url, words)
    assert done.returncode == 0, done.stderr
    assert [each["id"] for each in found] == ["a", "c"]
    (bad,) = jsonl.read(str(tmp_path / "bad.zst"))
    assert (bad["id"], bad["reject"]["reason"]) == ("b", "refused")


def test_a_verifier_goes_with_early_stop_alone(run):
    done, _ = run([query("a", "easy: what?")], "http://127.0.0.1:9", "--verifier math")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--verifier math: needs --early-stop" in done.stderr
