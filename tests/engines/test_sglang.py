"""A real SGLang on the CPU, started by `qvl serve`: numbers, seeds, guards, and how it ends."""

import os
import signal
import time

import pytest
from client_contract import (  # noqa: F401 - tests, with the fixtures of this file
    test_a_command_does_not_wait_for_requests_that_wait_for_it,
    test_a_conversation_continues_without_tokenising_again,
    test_a_conversation_that_goes_on_under_new_weights_is_of_these_alone,
    test_a_folder_that_cannot_be_loaded_changes_nothing,
    test_a_wrong_prompt_is_refused_before_it_is_sent,
    test_an_update_that_changes_little_is_taken,
    test_log_probs_are_those_of_transformers,
    test_log_probs_with_videos_are_those_of_transformers,
    test_requests_during_a_pause_are_answered_after_it,
    test_the_tokens_of_images_are_never_sampled,
    test_updates_under_load_leave_one_version_per_completion,
    test_what_it_samples_is_what_rl_trains,
)
from patience import PATIENCE
from running import (
    CASES,
    KEY,
    TOLERANCE,
    Reference,
    Running,
    check_structured_output,
    data_uri,
    difference,
    messages,
    own_address,
    parity,
    records_of_parity,
    records_of_videos,
)

from qvl.engines.client import connect
from qvl.engines.serving import environments
from qvl.engines.tokens import TokensPrompt
from qvl.tiny import model

pytestmark = pytest.mark.engines


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
    words = (folder / "twin", "--backend", "sglang", "--port", 0, "--host", "0.0.0.0")
    running = Running(folder / "log", *words, "--max-batch", 16)
    yield running
    assert len(running.children()) >= 3
    started = time.monotonic()
    assert running.stop(signal.SIGINT) == 130
    assert time.monotonic() - started < PATIENCE
    assert running.children() == []


@pytest.fixture(scope="module")
def reference(folder):
    return Reference(folder / "twin")


def ask(server, short, images, **sampling):
    """Token ids in, token ids and log-probs out, and the whole answer."""
    parameters = {"max_new_tokens": 16, "temperature": 0, **sampling}
    body = {"input_ids": short, "sampling_params": parameters, "return_logprob": True}
    if images:
        body["image_data"] = [data_uri(image) for image in images]
    answer = server.post("/generate", body)
    pairs = answer["meta_info"]["output_token_logprobs"]
    return [pair[1] for pair in pairs], [pair[0] for pair in pairs], answer


def test_the_ready_line_says_what_the_server_is(server):
    version = environments.find("sglang").version
    facts = server.facts
    assert (facts["backend"], facts["version"], facts["model"]) == ("sglang", version, "twin")
    assert {"chat", "token_ids", "videos", "weights", "pause"} <= set(facts["capabilities"])
    assert facts["weight_version"] == "default"
    assert facts["pid"] == server.process.pid


@pytest.mark.parametrize("case", CASES)
def test_token_ids_and_log_probs_are_those_of_transformers(server, reference, case):
    text, images = CASES[case]
    short, inputs = reference.prompt(text, images)
    ids, logprobs, answer = ask(server, short, images)
    assert answer["meta_info"]["prompt_tokens"] == inputs["input_ids"].shape[1]
    assert max(difference(reference, inputs, ids, logprobs)) <= TOLERANCE


@pytest.mark.parametrize("case", CASES)
def test_a_chat_has_the_same_greedy_answer(server, reference, case):
    text, images = CASES[case]
    short, inputs = reference.prompt(text, images)
    body = {"model": "twin", "messages": messages(text, images), "temperature": 0}
    answer = server.post("/v1/chat/completions", body | {"max_tokens": 16})
    assert answer["usage"]["prompt_tokens"] == inputs["input_ids"].shape[1]
    text_ = reference.tokenizer.decode(ask(server, short, images)[0], skip_special_tokens=True)
    assert answer["choices"][0]["message"]["content"] == text_


def test_seeds_work_and_samples_without_one_differ(server, reference):
    """SGLang alone uses seed 42 for requests without one, and returns n equal samples."""
    short, _ = reference.prompt(*CASES["text"])
    seeds = [ask(server, short, [], temperature=1, sampling_seed=seed)[0] for seed in (3, 4, 3)]
    assert seeds[0] == seeds[2] != seeds[1]
    unseeded = [ask(server, short, [], temperature=1)[0] for _ in range(2)]
    assert unseeded[0] != unseeded[1]
    body = {"input_ids": short}
    body["sampling_params"] = {"max_new_tokens": 16, "temperature": 1, "n": 2, "sampling_seed": 3}
    assert [each["output_ids"] for each in server.post("/generate", body)] == seeds[:2]


def test_structured_output_keeps_to_its_schema(server, tmp_path):
    check_structured_output(server, tmp_path)


def test_new_weights_are_those_of_the_other_folder_and_back(server, folder, reference):
    text, images = CASES["one image"]
    for name, known in (("other", Reference(folder / "other")), ("twin", reference)):
        body = {"model_path": str(folder / name), "weight_version": name}
        assert server.post("/update_weights_from_disk", body)["success"]
        short, inputs = known.prompt(text, images)
        ids, logprobs, answer = ask(server, short, images)
        assert answer["meta_info"]["weight_version"] == name
        assert max(difference(known, inputs, ids, logprobs)) <= TOLERANCE


@pytest.fixture(scope="module")
def folders(folder):
    return {name: folder / name for name in ("twin", "other")}


@pytest.fixture(scope="module")
def engine(server, folder):
    """Its client."""
    os.environ["QVL_API_KEY"] = KEY
    with connect(server.url, folder / "twin") as engine:
        yield engine
    del os.environ["QVL_API_KEY"]


def test_parity_is_0_before_and_after_an_update(server, engine, folder, tmp_path):
    records_of_parity(tmp_path)
    for name in ("twin", "other", "twin"):
        engine.load_weights(folder / name, name)
        done = parity(server, folder / name, tmp_path)
        assert done.returncode == 0, done.stderr
    assert parity(server, folder / "other", tmp_path).returncode == 3


def test_parity_of_videos_is_0(server, engine, folder, tmp_path):
    records_of_videos(tmp_path)
    done = parity(server, folder / "twin", tmp_path, "videos.jsonl")
    assert done.returncode == 0, done.stderr


def test_a_video_that_cannot_be_read_is_refused_and_the_server_lives(server, engine):
    for uri in ("data:video/mp4;base64,AAAA", "data:video/jpeg;base64,AAAA,AAAA"):
        part = {"type": "video_url", "video_url": {"url": uri}}
        chat = {"model": "twin", "messages": [{"role": "user", "content": [part]}]}
        assert server.post("/v1/chat/completions", chat | {"max_tokens": 2}) == 400
    assert engine.prompt_logprobs(TokensPrompt([1, 2])).result().logprobs[0] is None


def test_every_route_needs_the_key_and_updates_are_for_this_machine(server):
    chat = {"model": "twin", "messages": messages("x", []), "max_tokens": 2}
    for path in ("/v1/chat/completions", "/generate", "/update_weights_from_disk", "/tokenize"):
        assert server.post(path, chat, key=None) == 401
        assert server.post(path, chat, key="wrong") == 401
    far = own_address()
    assert server.post("/v1/chat/completions", chat, host=far)["choices"]
    assert server.post("/update_weights_from_disk", {"model_path": "x"}, host=far) == 403
    assert server.post("/pause_generation", {}, host=far) == 403
    assert KEY not in server.log.read_text()


def test_an_engine_that_is_killed_is_reported_in_one_line(tmp_path, twin):
    running = Running(tmp_path / "log", twin, "--backend", "sglang", "--port", 0)
    os.kill(running.facts["engine_pid"], signal.SIGKILL)
    assert running.process.wait(timeout=60) == 4
    assert running.last_line().startswith("qvl: error: sglang died: it was killed")
    assert running.children() == []


def test_an_unknown_flag_of_the_engine_is_reported(tmp_path, twin):
    words = ("--backend", "sglang", "--port", 0, "--engine-args=--no-such-flag")
    running = Running(tmp_path / "log", twin, *words, wait=False)
    assert running.process.wait(timeout=120) == 4
    assert running.last_line() == "qvl: error: sglang died: it has no option --no-such-flag"
