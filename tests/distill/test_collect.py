"""`qvl distill collect` as users run it: a real engine of the twin as the teacher."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from fake_endpoint import FakeEndpoint
from served import BIN, Served
from shells import shell

from qvl.distill import codes
from qvl.io import jsonl
from qvl.tiny import data, model

# TEST_KILLS=20 kills as often.
KILLS = int(os.environ.get("TEST_KILLS", "2"))
K = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory, twin):
    made = tmp_path_factory.mktemp("collect")
    (made / "twin").symlink_to(twin)
    plan = data.DataPlan(names=["card-where", "sum"], train=40, test=4, defect_share=0)
    data.write(made, plan)
    shutil.copy(made / "raw.jsonl.zst", made / "sft.jsonl.zst")
    return made


@pytest.fixture(scope="module")
def teacher(folder):
    # One row at a time: the last bits of a log-prob depend on the rows beside it.
    server = Served(folder / "twin", "--port", 0, "--media-root", folder, "--max-batch", 1)
    yield server
    server.process.terminate()
    server.process.wait(60)


def line(teacher, *words):
    parts = ["qvl distill collect --model twin --teacher", teacher.url, f"--top-k {K}", *words]
    return " ".join(parts)


def run(folder, command):
    return shell(folder)(command, OMP_NUM_THREADS="1")


@pytest.fixture(scope="module")
def collected(folder, teacher):
    done = run(folder, line(teacher, "raw.jsonl.zst -o whole.jsonl.zst --report report.json"))
    assert done.returncode == 0, done.stderr
    return list(jsonl.read(str(folder / "whole.jsonl.zst")))


def test_zstd_and_check_read_a_record_per_sequence(folder, collected):
    assert len(collected) == 40
    assert run(folder, "qvl check whole.jsonl.zst").returncode == 0
    done = run(folder, "zstd -dc whole.jsonl.zst | jq -c '.responses[0].teacher.k' | sort -u")
    assert done.stdout.split() == [str(K)]
    notes = json.loads((folder / "report.json").read_text())["notes"]
    assert notes["entries"] == K * notes["tokens"]
    assert notes["bytes_per_entry"] <= 3  # with the records around them, at 16 entries a token
    assert 0 < notes["rounding_nats"] < notes["rounding_nats_most"] < 1 / 64
    assert 0 <= notes["rounding_kl_per_token"] < 1e-5


def test_the_log_probs_are_those_of_the_model(folder, twin, collected):
    """Of a text, by transformers on the whole vocabulary."""
    from transformers import AutoModelForImageTextToText

    reference = AutoModelForImageTextToText.from_pretrained(twin, dtype=torch.float32).eval()
    record = next(each for each in collected if not each["rollout"]["images"])
    response = record["responses"][0]
    ids = torch.tensor([[*response["prompt_token_ids"], *response["token_ids"]]])
    with torch.no_grad():
        logits = reference(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].double()
    count = len(response["token_ids"])
    table = logits.log_softmax(1)[-count - 1 : -1].numpy()
    found = codes.decode(response["teacher"])
    assert np.abs(np.take_along_axis(table, found.ids, 1) - found.log_probs).max() < 1 / 64
    kth = np.sort(table, 1)[:, -K]
    assert (np.take_along_axis(table, found.ids, 1) >= kth[:, None] - 1e-4).all()
    np.testing.assert_allclose(1 - np.exp(np.sort(table, 1)[:, -K:]).sum(1), found.tail, rtol=1e-2)
    own = table[np.arange(count), response["token_ids"]]
    np.testing.assert_allclose(own, found.sampled, atol=1e-3)


def test_responses_are_scored_one_by_one_with_their_own_token_ids(folder, teacher):
    """Sampled ones keep theirs, and texts are rendered."""
    serve = f"QVL_ENDPOINT={teacher.url}"
    done = run(
        folder,
        f"{serve} qvl generate -n 2 --token-ids --max-tokens 5 test.jsonl.zst -o sampled.jsonl.zst && "
        + line(teacher, "sampled.jsonl.zst -o scored.jsonl.zst"),
    )
    assert done.returncode == 0, done.stderr
    sampled = [
        (f"{record['id']}#{index}", response["token_ids"])
        for record in jsonl.read(str(folder / "sampled.jsonl.zst"))
        for index, response in enumerate(record["responses"])
    ]
    scored = [
        (record["id"], record["responses"][0]["token_ids"])
        for record in jsonl.read(str(folder / "scored.jsonl.zst"))
    ]
    assert scored == sampled
    record = {"id": "x", "messages": [{"role": "user", "content": "What?"}], "responses": []}
    record["responses"] = [{"content": "It is 7."}, {"content": "No."}]
    rows, _ = scored_texts(folder, teacher, record)
    assert [row["id"] for row in rows] == ["x#0", "x#1"]
    assert all(row["responses"][0]["teacher"]["k"] == K for row in rows)


def scored_texts(folder, teacher, record, *words):
    """The records that come of one, and the rejects."""
    (folder / "texts.jsonl").write_text(json.dumps(record) + "\n")
    done = run(folder, line(teacher, "texts.jsonl --plain --rejects no.jsonl", *words))
    assert done.returncode == 0, done.stderr
    found = (done.stdout, (folder / "no.jsonl").read_text())
    return tuple([json.loads(each) for each in text.splitlines()] for text in found)


def test_a_thought_that_the_template_does_not_render_is_rejected_or_put_into_the_text(
    folder, teacher
):
    """Of a response, and of the turn that a record ends in."""
    asked = {"role": "user", "content": "What?"}
    answer = {"content": "No.", "reasoning_content": "hm, well"}
    record = {"id": "x", "messages": [asked], "responses": [answer]}
    final = {"id": "x", "messages": [asked, {"role": "assistant", **answer}]}
    for each in (record, final):
        rows, rejects = scored_texts(folder, teacher, each)
        assert rows == []
        assert rejects[0]["reject"]["reason"] == "template"
        assert "--think-tags" in rejects[0]["reject"]["detail"]
        rows, rejects = scored_texts(folder, teacher, each, "--think-tags")
        assert rejects == []
        assert learned(folder, rows[0]) == "<think>\nhm, well\n</think>\n\nNo.<|im_end|>"


def learned(folder, row):
    """The text that a sequence's token ids say."""
    from qvl.pack.template import load_tokenizer

    ids = row["responses"][0]["token_ids"]
    return load_tokenizer(folder / "twin").decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_that_was_killed_continues_to_the_same_bytes(folder, teacher, collected, number):
    output = f"killed-{number}.jsonl.zst"
    words = line(teacher, f"raw.jsonl.zst -o {output} --concurrency 1 --resume").split()
    process = subprocess.Popen([BIN / words[0], *words[1:]], cwd=folder, stderr=subprocess.PIPE)
    journal = folder / f"{output}.journal"
    until = time.monotonic() + 60
    while not journal.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(2 * random.Random(number).random())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = run(folder, " ".join(words))
    assert done.returncode == 0, done.stderr
    mine, theirs = (
        subprocess.run(["zstd", "-dc", folder / name], capture_output=True, check=True).stdout
        for name in (output, "whole.jsonl.zst")
    )
    assert mine == theirs


def test_another_tokenizer_or_template_is_an_error_before_any_work(folder, teacher, tmp_path):
    tokenizer = json.loads((folder / "twin/tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:40]
    other = folder / "other"
    other.mkdir()
    model.write(other, "xxs", moe=False, thinking=False, seed=0)
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    thinking = folder / "thinking"
    thinking.mkdir()
    model.write(thinking, "xxs", moe=False, thinking=True, seed=0)
    for name, words in (("other", "another tokenizer"), ("thinking", "chat template")):
        command = line(teacher, "raw.jsonl.zst -o no.jsonl.zst").replace(
            "--model twin", f"--model {name}"
        )
        done = run(folder, command)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert not (folder / "no.jsonl.zst").exists()


def test_a_sequence_beyond_the_teachers_context_is_an_error(folder):
    server = Served(folder / "twin", "--port", 0, "--media-root", folder, "--max-model-len", 256)
    record = {"id": "long", "messages": [{"role": "user", "content": "word " * 300}]}
    record["messages"].append({"role": "assistant", "content": "7"})
    (folder / "long.jsonl").write_text(json.dumps(record) + "\n")
    try:
        done = run(folder, line(server, "long.jsonl"))
    finally:
        server.process.terminate()
        server.process.wait(60)
    assert done.returncode == 2
    assert re.search(r"record .long.: [\d,]+ tokens, and the teacher at .* takes 255;", done.stderr)


def a_vllm(folder, answer):
    """An endpoint with vLLM's routes, whose log-probs of a prompt are `answer(ids, top)`."""
    from qvl.distill import tokenizer
    from qvl.pack.packed import Sample
    from qvl.pack.render import Renderer

    renderer = Renderer(folder / "twin", media_root=folder)
    talk = renderer.prompt({"id": "", "messages": tokenizer.TALK})
    assert isinstance(talk, Sample)
    ids = list(talk.ids)

    def reply(body, number):
        if "messages" in body:
            content = [{"token": "a", "logprob": -1.0, "top_logprobs": []}]
            choice = {"message": {"content": "a"}, "token_ids": [1], "finish_reason": "length"}
            choice |= {"index": 0, "logprobs": {"content": content}}
            usage = {"prompt_tokens": 1, "completion_tokens": 1}
            return 200, {}, {"choices": [choice], "prompt_token_ids": ids, "usage": usage}
        top = body["sampling_params"]["prompt_logprobs"]
        return answer(body["token_ids"], top)

    paths = {"/v1/chat/completions": {}, "/inference/v1/generate": {}}
    return FakeEndpoint(reply, {"paths": paths})


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("refused", "start it with --max-logprobs 16"),
        ("cut", "4 log-probs per place for a plain talk, 16 were requested"),
        ("none", "returns no log-probs of a prompt"),
    ],
)
def test_log_probs_that_are_refused_cut_or_missing_are_an_error_at_once(folder, kind, words):
    def answer(ids, top):
        if kind == "refused":
            message = "Requested prompt logprobs of 16, which is greater than max allowed: 4"
            return 400, {}, {"error": {"message": message}}
        others = {str(token): {"logprob": -20.0 - token} for token in range(500, 503)}
        rows = [others | {str(token): {"logprob": -0.5}} for token in ids[1:]]
        found = [None, *rows] if kind == "cut" else None
        return 200, {}, {"prompt_token_ids": ids, "choices": [], "prompt_logprobs": found}

    with a_vllm(folder, answer) as server:
        done = run(folder, line(server, "raw.jsonl.zst -o none.jsonl.zst"))
    assert done.returncode in (2, 4)
    assert words in done.stderr
    assert not (folder / "none.jsonl.zst").exists()


@pytest.mark.parametrize("words", ["--layout tp=2", "--nproc 2"])
def test_a_teacher_on_megatron_says_the_same_at_any_layout(folder, collected, words):
    name = words.strip("-").replace(" ", "-") + ".zst"
    line = "qvl distill collect --model twin --teacher twin --top-k"
    done = run(folder, f"{line} {K} {words} raw.jsonl.zst -o {name}")
    assert done.returncode == 0, done.stderr
    assert "rounding nats" in done.stderr
    for mine, theirs in zip(jsonl.read(str(folder / name)), collected, strict=True):
        assert {**mine, "responses": []} == {**theirs, "responses": []}
        ours, engines = (codes.decode(each["responses"][0]["teacher"]) for each in (mine, theirs))
        assert np.abs(ours.sampled - engines.sampled).max() <= 2 / 1024
        assert np.abs(ours.tail - engines.tail).max() < 1e-2
        assert np.abs(ours.log_probs - engines.log_probs).max() < 1 / 32
        assert (
            ours.ids == engines.ids
        ).mean() > 0.9  # log-probs that are nearly equal may change places


def test_the_examples_run(command_module, folder):
    for each in re.findall(r"^ *\$ (.+)$", command_module("distill collect").command.__doc__, re.M):
        done = run(folder, each)
        assert done.returncode == 0, f"{each}\n{done.stderr}"
