"""The cache of answers: nothing is paid for twice, and nothing is mistaken for something else."""

import sqlite3
import subprocess
import time

import pytest
from fake_endpoint import FakeEndpoint, completion, question
from PIL import Image
from shells import shell

from qvl.client import Client
from qvl.client.cache import Cache
from qvl.errors import UserError
from qvl.io import jsonl


def echo(body, attempt):
    return completion(str(body["messages"])[-40:])


def ask(text):
    return [{"role": "user", "content": text}]


def record(i):
    return {"id": f"r{i}", "messages": ask(f"What is {i}?"), "task": "math", "answer": str(i)}


def test_what_changes_the_answer_is_asked_anew(tmp_path):
    image = tmp_path / "a.png"
    seen = [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}]
    with FakeEndpoint(echo) as fake:

        def asked(messages, model="m", **sampling):
            before = len(fake.requests)
            cache = str(tmp_path / "cache")
            with Client([fake.url], model, cache=cache, root=tmp_path) as client:
                answer = client.complete(messages, **sampling)
            with Client([fake.url], model, cache=cache, root=tmp_path) as client:
                assert client.complete(messages, **sampling) == answer
                assert client.facts == {"tokens": 0, "cache_hits": 1}
            return len(fake.requests) - before

        assert asked(ask("a"), seed=1) == 1
        assert asked(ask("a"), seed=1) == 0
        assert asked(ask("a"), seed=2) == 1
        assert asked(ask("b"), seed=1) == 1
        assert asked(ask("a"), "other", seed=1) == 1
        assert asked(ask("a"), seed=1, temperature=0.5) == 1
        assert asked(ask("a"), seed=1, tools=[{"name": "zoom"}]) == 1
        assert asked(ask("a"), temperature=0) == 1
        for colour in ("red", "blue"):
            Image.new("RGB", (32, 32), colour).save(image)
            assert asked(seen, seed=1) == 1


def test_a_sample_without_a_seed_is_never_known(tmp_path):
    with (
        FakeEndpoint(echo) as fake,
        Client([fake.url], "m", cache=str(tmp_path / "cache")) as client,
    ):
        for _ in range(2):
            client.complete(ask("a"), temperature=0.7)
        assert len(fake.requests) == 2
        assert client.facts["cache_hits"] == 0


def test_a_failure_is_not_kept(tmp_path):
    def fails_once(body, attempt):
        return echo(body, attempt) if attempt > 1 else (400, {}, "no")

    with (
        FakeEndpoint(fails_once) as fake,
        Client([fake.url], "m", cache=str(tmp_path / "cache")) as client,
    ):
        with pytest.raises(UserError):
            client.complete(ask("a"), seed=1)
        assert client.complete(ask("a"), seed=1)


def test_hits_stand_in_the_summary(tmp_path):
    run = shell(tmp_path)
    jsonl.write([record(i) for i in range(10)], str(tmp_path / "in.jsonl"))
    with FakeEndpoint(echo) as fake:
        for hits in (0, 20):
            done = run(
                f"qvl generate -n 2 --cache c --endpoint {fake.url} in.jsonl -o {hits}.zst --plain"
            )
            assert done.returncode == 0, done.stderr
            assert f"tokens {60 - 3 * hits}, cache hits {hits}" in done.stderr
        for hits in (0, 10):
            done = run(f"qvl eval --cache c --endpoint {fake.url} in.jsonl -o e{hits}.zst")
            assert done.returncode == 0, done.stderr
            assert f"cache hits {hits}" in done.stderr
        assert len(fake.requests) == 30
    assert run("zstdcat 0.zst || cat 0.zst").stdout == run("zstdcat 20.zst || cat 20.zst").stdout


def test_several_runs_share_one_file_and_kill_9_loses_no_answer(tmp_path):
    def slow(body, attempt):
        time.sleep(0.01)
        return completion(question(body))

    jsonl.write([record(i) for i in range(300)], str(tmp_path / "in.jsonl"))
    with FakeEndpoint(slow) as fake:
        words = ["qvl", "generate", "--cache", "c", "--concurrency", "4", "--endpoint", fake.url]
        runs = [
            subprocess.Popen([*words, "in.jsonl", "-o", f"{i}.zst"], cwd=tmp_path) for i in range(3)
        ]
        while len(fake.requests) < 150:
            time.sleep(0.01)
        runs[0].kill()
        assert [each.wait() for each in runs] == [-9, 0, 0]
        before = len(fake.requests)
        done = shell(tmp_path)(f"{' '.join(words)} --resume in.jsonl -o 0.zst")
        assert done.returncode == 0, done.stderr
        assert len(fake.requests) == before
    found = [list(jsonl.read(str(tmp_path / f"{i}.zst"))) for i in range(3)]
    assert found[0] == found[1] == found[2]
    first = [each["responses"][0]["content"] for each in found[0][:2]]
    assert first == ["What is 0?", "What is 1?"]
    with sqlite3.connect(tmp_path / "c") as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert file.execute("SELECT count(*) FROM answers").fetchone() == (300,)


def test_a_file_that_is_no_cache_is_refused(tmp_path):
    (tmp_path / "text").write_text("no database at all, only words " * 20)
    with sqlite3.connect(tmp_path / "other") as file:
        file.execute("CREATE TABLE mine (x)")
    for name in ("text", "other", "nosuch/folder"):
        with pytest.raises(UserError, match=f"--cache .*{name}"):
            Cache(str(tmp_path / name))
