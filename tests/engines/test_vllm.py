"""A real vLLM on the CPU, started by `qvl serve`: numbers, routes, guards, and how it ends."""

import os
import signal
import time

import pytest
from running import (
    CASES,
    KEY,
    TOLERANCE,
    Reference,
    Running,
    answers_of_a_form,
    data_uri,
    difference,
    messages,
    own_address,
)

from qvl.engines import environments
from qvl.tiny import model

pytestmark = pytest.mark.engines
REMOTE = ("--host", "0.0.0.0")


@pytest.fixture(scope="module", params=["dense", "moe"])
def folder(request, tmp_path_factory):
    """Two checkpoints of one kind: twin, and other, with other weights."""
    parent = tmp_path_factory.mktemp(request.param)
    for name, seed in (("twin", 0), ("other", 1)):
        (parent / name).mkdir()
        model.write(parent / name, "xs", moe=request.param == "moe", thinking=False, seed=seed)
    return parent


@pytest.fixture(scope="module")
def server(folder):
    words = (folder / "twin", "--backend", "vllm", "--port", 0, *REMOTE, "--max-batch", 16)
    running = Running(folder / "log", *words)
    yield running
    assert len(running.children()) >= 2
    started = time.monotonic()
    assert running.stop(signal.SIGTERM) == 143
    assert time.monotonic() - started < 15
    assert running.children() == []


@pytest.fixture(scope="module")
def reference(folder):
    return Reference(folder / "twin")


def ask(server, short, images, **sampling):
    """Token ids in, token ids and log-probs out, and the whole answer."""
    body = {
        "token_ids": short,
        "content_parts": [{"type": "image_url", "url": data_uri(image)} for image in images]
        or None,
        "sampling_params": {"max_tokens": 16, "temperature": 0, "logprobs": 0, **sampling},
        "return_token_ids": True,
    }
    answer = server.post("/inference/v1/generate", body)
    (choice,) = answer["choices"]
    said = [entry["logprob"] for entry in choice["logprobs"]["content"]]
    return choice["token_ids"], said, answer


def test_the_line_says_what_the_server_is(server):
    version = environments.find("vllm").version
    facts = server.facts
    assert (facts["backend"], facts["version"], facts["model"]) == ("vllm", version, "twin")
    assert {"chat", "token_ids", "weights", "pause", "sleep"} <= set(facts["capabilities"])
    assert facts["weight_version"] == "default"
    assert facts["pid"] == server.process.pid


@pytest.mark.parametrize("case", CASES)
def test_token_ids_and_log_probs_are_those_of_transformers(server, reference, case):
    text, images = CASES[case]
    short, inputs = reference.prompt(text, images)
    ids, said, answer = ask(server, short, images)
    assert max(difference(reference, inputs, ids, said)) <= TOLERANCE
    if images:
        assert answer["prompt_token_ids"] == inputs["input_ids"][0].tolist()


@pytest.mark.parametrize("case", CASES)
def test_a_chat_has_the_same_prompt_and_the_same_greedy_answer(server, reference, case):
    text, images = CASES[case]
    short, inputs = reference.prompt(text, images)
    body = {"model": "twin", "messages": messages(text, images), "temperature": 0}
    body |= {"max_tokens": 16, "logprobs": True, "return_token_ids": True}
    answer = server.post("/v1/chat/completions", body)
    assert answer["prompt_token_ids"] == inputs["input_ids"][0].tolist()
    assert answer["choices"][0]["token_ids"] == ask(server, short, images)[0]


def test_a_seed_decides_the_sample_and_other_seeds_give_others(server, reference):
    short, _ = reference.prompt(*CASES["text"])
    first = [ask(server, short, [], temperature=1, seed=seed)[0] for seed in (3, 4, 3)]
    assert first[0] == first[2] != first[1]


def test_answers_keep_to_a_form(server, tmp_path):
    answers_of_a_form(server, tmp_path)


def test_new_weights_are_those_of_the_other_folder_and_back(server, folder, reference):
    """vLLM's own reload leaves experts unpacked on a CPU, and a tied output layer as it was."""
    text, images = CASES["one image"]
    for name, known in (("other", Reference(folder / "other")), ("twin", reference)):
        server.post("/pause?mode=wait", {})
        rpc = {"method": "qvl_reload", "kwargs": {"folder": str(folder / name)}}
        assert server.post("/collective_rpc", rpc)
        server.post("/reset_prefix_cache?reset_running_requests=true", {})
        server.post("/reset_mm_cache", {})
        server.post("/reset_encoder_cache", {})
        server.post("/resume", {})
        short, inputs = known.prompt(text, images)
        ids, said, _ = ask(server, short, images)
        assert max(difference(known, inputs, ids, said)) <= TOLERANCE


def test_every_route_needs_the_key_and_updates_are_for_this_machine(server):
    chat = {"model": "twin", "messages": messages("x", []), "max_tokens": 2}
    for path in ("/v1/chat/completions", "/invocations", "/collective_rpc", "/tokenize"):
        assert server.post(path, chat, key=None) == 401
        assert server.post(path, chat, key="wrong") == 401
    far = own_address()
    assert server.post("/v1/chat/completions", chat, host=far)["choices"]
    assert server.post("/collective_rpc", {"method": "x"}, host=far) == 403
    assert server.post("/pause", {}, host=far) == 403
    assert KEY not in server.log.read_text()


def test_an_engine_that_is_killed_is_told_in_one_line(tmp_path, twin):
    running = Running(tmp_path / "log", twin, "--backend", "vllm", "--port", 0)
    os.kill(running.facts["engine_pid"], signal.SIGKILL)
    assert running.process.wait(timeout=60) == 4
    assert running.last_word().startswith("qvl: error: vllm died: it was killed")
    assert running.children() == []


def test_a_flag_that_the_engine_does_not_know_is_told(tmp_path, twin):
    words = ("--backend", "vllm", "--port", 0, "--engine-args=--no-such-flag")
    running = Running(tmp_path / "log", twin, *words, wait=False)
    assert running.process.wait(timeout=120) == 4
    assert running.last_word() == "qvl: error: vllm died: it does not know --no-such-flag"


def test_kill_9_of_qvl_takes_the_engine_along(tmp_path, twin):
    running = Running(tmp_path / "log", twin, "--backend", "vllm", "--port", 0, wait=False)
    while not running.children():
        time.sleep(0.2)
    time.sleep(3)
    running.process.kill()
    deadline = time.monotonic() + 60
    while running.children() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert running.children() == []
