"""`qvl generate` through a shell, against servers that misbehave and the local engine."""

import json
import os
import re
import subprocess
import time

import pytest
from fake_endpoint import FakeEndpoint, completion, question
from served import Served
from shells import shell

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.sampling import presets, samples


def record(i, *turns, **fields):
    messages = [{"role": "user", "content": f"What is {i}?"}, *turns]
    return {"id": f"r{i}", "messages": messages, "kept": [i], **fields}


def echo(body, attempt):
    return completion(f"{question(body)} {body.get('seed')}")


@pytest.fixture
def run(tmp_path):
    def line(words, records=(), **env):
        if records:
            jsonl.write(records, str(tmp_path / "in.jsonl"), plain=True)
        return shell(tmp_path)(words, OMP_NUM_THREADS="1", **env)

    return line


def read(tmp_path, name="out.zst"):
    return list(jsonl.read(str(tmp_path / name)))


def test_samples_are_added_in_order_and_the_turn_to_learn_is_not_sent(run, tmp_path):
    learnt = {"role": "assistant", "content": "the answer to learn"}
    tools = [{"type": "function", "function": {"name": "zoom"}}]
    records = [record(i, learnt) for i in range(40)]
    records[1] = record(1, responses=[{"content": "older"}], tools=tools)
    with FakeEndpoint(echo) as fake:
        done = run(f"qvl generate -n 3 --endpoint {fake.url} in.jsonl -o out.zst", records)
    assert done.returncode == 0, done.stderr
    assert "tokens 360" in done.stderr
    found = read(tmp_path)
    assert [{**each, "responses": 0} for each in found] == [{**r, "responses": 0} for r in records]
    assert [len(each["responses"]) for each in found] == [3, 4] + [3] * 38
    assert found[1]["responses"][0] == {"content": "older"}
    seed = samples.sample_seed(0, "r2", 1)
    assert found[2]["responses"][1] == {
        "content": f"What is 2? {seed}",
        "finish_reason": "stop",
        "num_tokens": 2,
        "model": "fake",
        "sampling": {"seed": seed},
    }
    assert found[1]["responses"][1]["sampling"]["seed"] == samples.sample_seed(0, "r1", 1)
    sent = [body for _, body in fake.requests]
    assert len(sent) == 120
    assert not any("learn" in json.dumps(body) for body in sent)
    assert [body["tools"] for body in sent if "tools" in body] == [tools] * 3


def test_a_preset_is_the_reports_and_flags_override_it(run, tmp_path):
    with FakeEndpoint(echo) as fake:
        done = run(
            f"qvl generate --preset thinking --top-k 5 --endpoint {fake.url} in.jsonl -o out.zst",
            [record(1)],
        )
    assert done.returncode == 0, done.stderr
    (response,) = read(tmp_path)[0]["responses"]
    del response["sampling"]["seed"]
    thinking = {"temperature": 0.6, "top_p": 0.95, "top_k": 5, "max_tokens": 32768}
    assert response["sampling"] == thinking
    with pytest.raises(UserError, match="thinking-dense"):
        presets.sampling("nosuch", {})


def test_thoughts_are_split_from_answers(run, tmp_path):
    def cut(body, attempt):
        status, headers, answer = completion("still thinking")
        answer["choices"][0]["finish_reason"] = "length"
        return status, headers, answer

    with FakeEndpoint(cut) as fake:
        run(
            f"qvl generate --preset thinking --endpoint {fake.url} in.jsonl -o out.zst", [record(1)]
        )
    (response,) = read(tmp_path)[0]["responses"]
    assert (response["content"], response["reasoning_content"]) == ("", "still thinking")


def test_a_budget_stops_the_run_and_resume_ends_with_the_same_bytes(run, tmp_path):
    records = [record(i) for i in range(30)]
    command = "qvl generate -n 2 --concurrency 2 in.jsonl"
    with FakeEndpoint(echo) as fake:
        env = {"QVL_ENDPOINT": fake.url}
        assert run(f"{command} -o whole.zst", records, **env).returncode == 0
        asked = len(fake.requests)
        done = run(f"{command} --max-total-tokens 60 -o out.zst", **env)
        assert done.returncode == 3
        assert "--max-total-tokens 60" in done.stderr
        assert "--resume" in done.stderr
        assert done.stderr.count("\n") == 1
        assert len(fake.requests) - asked <= 20 + 4
        assert not (tmp_path / "out.zst").exists()
        rounds = 1
        while done.returncode == 3:
            done = run(f"{command} --max-total-tokens 60 -o out.zst --resume", **env)
            rounds += 1
        assert done.returncode == 0, done.stderr
        assert 3 <= rounds <= 4
        assert len(fake.requests) == 2 * asked  # nothing was paid for twice
        assert run(f"{command} --max-total-tokens 9 | cat", **env).returncode == 2
    assert run("zstdcat out.zst").stdout == run("zstdcat whole.zst").stdout


def test_an_engine_that_is_killed_is_status_4_and_resuming_ends_with_the_same_bytes(
    run, tmp_path, twin
):
    records = [record(i) for i in range(80)]
    # Among two tokens, the rounding of logits hardly ever decides.
    command = "qvl generate --top-k 2 --max-tokens 100 --concurrency 8 --retries 0 in.jsonl"
    server = Served(twin, "--port", 0)
    env = {"QVL_ENDPOINT": server.url}
    assert run(f"{command} -o whole.zst", records, **env).returncode == 0
    going = subprocess.Popen(
        [*command.split(), "-o", "out.zst"],
        cwd=tmp_path,
        env={**os.environ, **env},
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = tmp_path / "out.zst.journal"
    while not journal.exists():
        time.sleep(0.01)
    time.sleep(0.3)
    assert going.poll() is None
    server.process.kill()
    server.process.communicate()
    said = going.communicate()[1]
    assert going.returncode == 4, said
    assert said.startswith("qvl: error: no answer after 1 attempt")
    assert not (tmp_path / "out.zst").exists()
    server = Served(twin, "--port", server.url.rpartition(":")[2])
    try:
        assert run(f"{command} -o out.zst --resume", **env).returncode == 0
    finally:
        server.stop()
    assert run("zstdcat out.zst").stdout == run("zstdcat whole.zst").stdout


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"id": "r9", "messages": [{"role": "assistant", "content": "9"}]}, "no-question"),
        ({"id": "r9", "messages": [{"role": "system", "content": "9"}]}, "no-question"),
        ({"id": "r9", "messages": []}, "unsound"),
        ({"id": "r9", "messages": ["9"]}, "unsound"),
        (record(13), "refused"),
    ],
)
def test_a_record_that_cannot_be_asked_stops_or_goes_to_the_rejects(run, tmp_path, bad, reason):
    def answer(body, attempt):
        return (400, {}, {"error": "thirteen"}) if "13" in question(body) else echo(body, attempt)

    with FakeEndpoint(answer) as fake:
        command = f"qvl generate --endpoint {fake.url} in.jsonl -o out.zst"
        done = run(command, [record(1), bad, record(2)])
        assert done.returncode == 2
        assert f"record '{bad['id']}'" in done.stderr
        done = run(f"rm -f *.journal; {command} --on-error reject --rejects rejects.zst")
        assert done.returncode == 0, done.stderr
    assert [each["id"] for each in read(tmp_path)] == ["r1", "r2"]
    (rejected,) = read(tmp_path, "rejects.zst")
    assert rejected["reject"]["reason"] == reason


def test_a_dead_endpoint_is_status_4(run):
    done = run(
        "qvl generate --retries 0 --endpoint http://127.0.0.1:9 in.jsonl -o out.zst", [record(1)]
    )
    assert done.returncode == 4


def test_the_local_engine_repeats_its_samples(run, tmp_path, served, media):
    parts = [{"type": "image", "image": "wide.png"}, {"type": "text", "text": "What?"}]
    messages = [{"role": "user", "content": parts}]
    records = [record(0), {**record(1), "messages": messages}]
    for name in ("a", "b"):
        done = run(
            f"qvl generate -n 3 --temperature 1 --max-tokens 6 --media-root {media} in.jsonl "
            f"-o {name}.zst",
            records,
            QVL_ENDPOINT=served.url,
        )
        assert done.returncode == 0, done.stderr
    assert read(tmp_path, "a.zst") == read(tmp_path, "b.zst")
    for each in read(tmp_path, "a.zst"):
        assert len({response["content"] for response in each["responses"]}) > 1


def with_tokens(ids, logprobs, inside=False):
    status, headers, answer = completion("two tokens")
    choice = answer["choices"][0]
    choice["logprobs"] = {"content": [{"token": "x", "logprob": each} for each in logprobs]}
    if inside:
        choice |= {"prompt_token_ids": [5, 6], "response_token_ids": ids}
    else:
        choice["token_ids"], answer["prompt_token_ids"] = ids, [5, 6]
    return status, headers, answer


@pytest.mark.parametrize("inside", [False, True])
def test_token_ids_and_logprobs_are_kept_however_the_engine_spells_them(run, tmp_path, inside):
    with FakeEndpoint(lambda body, attempt: with_tokens([7, 8], [-0.5, 0], inside)) as fake:
        words = f"--token-ids --logprobs --endpoint {fake.url} in.jsonl"
        done = run(f"qvl generate {words} -o out.zst && qvl check out.zst", [record(1)])
    assert done.returncode == 0, done.stderr
    (response,) = read(tmp_path)[0]["responses"]
    kept = [response[name] for name in ("prompt_token_ids", "token_ids", "logprobs")]
    assert kept == [[5, 6], [7, 8], [-0.5, 0]]
    assert list(response["sampling"]) == ["seed"]
    assert fake.requests[0][1]["return_token_ids"] is True


def test_an_endpoint_without_token_ids_is_told_in_one_line(run):
    with FakeEndpoint(echo) as fake:
        for flag in ("--token-ids", "--logprobs"):
            done = run(f"qvl generate {flag} --endpoint {fake.url} in.jsonl", [record(1)])
            assert done.returncode == 2
            assert f"{flag}: the endpoint returns none" in done.stderr
            assert done.stderr.count("\n") == 1
    with FakeEndpoint(lambda body, attempt: with_tokens([7, 8], [-0.5])) as fake:
        words = f"--token-ids --logprobs --endpoint {fake.url}"
        done = run(f"qvl generate {words} in.jsonl", [record(1)])
    assert done.returncode == 2
    assert "2 token ids and 1 log-probabilities" in done.stderr


SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["score"],
    "additionalProperties": False,
}


def test_answers_of_a_form_by_the_local_engine(run, tmp_path, served):
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    words = f"-n 4 --max-tokens 20 --logprobs --top-logprobs 2 --endpoint {served.url} in.jsonl"
    done = run(f"qvl generate --json-schema schema.json {words} -o a.zst", [record(1), record(2)])
    assert done.returncode == 0, done.stderr
    done = run(f"qvl generate --regex '[ab]{{3}}|no' {words} -o b.zst && qvl check b.zst")
    assert done.returncode == 0, done.stderr
    for each in read(tmp_path, "a.zst"):
        for response in each["responses"]:
            assert json.loads(response["content"])["score"] in range(1, 6)
    for each in read(tmp_path, "b.zst"):
        for response in each["responses"]:
            assert re.fullmatch("[ab]{3}|no", response["content"])
            assert response["finish_reason"] == "stop"
            for place in response["top_logprobs"]:
                assert [type(x) for pair in place for x in pair] == [str, float] * 2
                assert place[0][1] >= place[1][1]
            assert len(response["top_logprobs"]) == len(response["logprobs"])


def test_an_endpoint_that_passes_a_form_over_or_refuses_it_is_told_in_one_line(run):
    with FakeEndpoint(echo) as fake:
        for form, sent in (("--regex 'yes|no'", "regex"), ("""--json-schema '{"a": 1}'""", "resp")):
            done = run(f"qvl generate {form} --endpoint {fake.url} in.jsonl", [record(1)])
            assert done.returncode == 2
            assert f"{form.split()[0]}: the endpoint ignores it" in done.stderr
            assert done.stderr.count("\n") == 1
            assert any(name.startswith(sent) for name in fake.requests[-1][1])

    def refuse(body, attempt):
        return 400, {}, {"error": {"message": "Unrecognized request argument: regex"}}

    with FakeEndpoint(refuse) as fake:
        done = run(f"qvl generate --regex a --endpoint {fake.url} in.jsonl")
        assert done.returncode == 2
        assert "Unrecognized request argument: regex" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--regex '(a'", "--regex (a: missing )"),
        ("--regex a --json-schema '{}'", "give only one of them"),
        ("--json-schema '{'", "--json-schema: not JSON"),
        ("--json-schema absent.json", "--json-schema absent.json: No such file"),
        ("--json-schema in.jsonl", "not JSON"),
        ("--top-logprobs 2", "goes with --logprobs"),
    ],
)
def test_a_form_that_is_none_is_told_before_anybody_is_asked(run, words, said):
    done = run(
        f"qvl generate {words} --endpoint http://127.0.0.1:9 in.jsonl", [record(1), record(2)]
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
