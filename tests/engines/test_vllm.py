"""A real vLLM on the CPU, started by `qvl serve`: numbers, routes, guards, and how it ends."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from itertools import takewhile

import numpy as np
import pytest
import videos
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
    test_updates_under_load_leave_one_version_per_completion,
    test_what_it_samples_is_what_rl_trains,
)
from patience import PATIENCE
from PIL import Image
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
from served import Served
from transformers import AutoTokenizer

from qvl.client import chat as media
from qvl.engines.client import connect
from qvl.engines.serving import environments
from qvl.media import video, video_patches
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
    assert time.monotonic() - started < PATIENCE
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
    logprobs = [entry["logprob"] for entry in choice["logprobs"]["content"]]
    return choice["token_ids"], logprobs, answer


def test_the_ready_line_says_what_the_server_is(server):
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
    ids, logprobs, answer = ask(server, short, images)
    assert max(difference(reference, inputs, ids, logprobs)) <= TOLERANCE
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


def test_a_video_has_the_prompt_and_the_log_probs_of_the_local_engine(server, folder, tmp_path):
    """As frames, and as a file of which each engine samples the same frames."""
    videos.write(tmp_path / "a.mp4", 30)
    for i in range(6):
        Image.fromarray(videos.frame(i, 100, 70, seed=i)).save(tmp_path / f"{i}.png")
    local = Served(folder / "twin", "--port", 0, "--media-root", tmp_path, QVL_API_KEY=KEY)
    try:
        for reference in ([f"{i}.png" for i in range(6)], "a.mp4"):
            parts = [{"type": "video", "video": reference}, {"type": "text", "text": "What?"}]
            sent = media.to_openai([{"role": "user", "content": parts}], tmp_path)
            body = {"model": "twin", "messages": sent, "temperature": 0, "max_tokens": 8}
            body |= {"logprobs": True, "return_token_ids": True}
            theirs = server.post("/v1/chat/completions", body)
            request = urllib.request.Request(
                local.url + "/v1/chat/completions",
                json.dumps(body).encode(),
                {"Authorization": f"Bearer {KEY}"},
            )
            ours = json.loads(urllib.request.urlopen(request).read())
            assert theirs["prompt_token_ids"] == ours["prompt_token_ids"]
            places = [
                [
                    (id, place["logprob"])
                    for id, place in zip(
                        choice["token_ids"], choice["logprobs"]["content"], strict=True
                    )
                ]
                for choice in (theirs["choices"][0], ours["choices"][0])
            ]
            # The local engine never samples an id beyond the tokenizer; compare until vLLM does.
            alike = list(
                takewhile(lambda pair: pair[0][0] == pair[1][0], zip(*places, strict=True))
            )
            assert alike
            assert all(abs(one[1] - other[1]) <= TOLERANCE for one, other in alike)
    finally:
        local.stop()


PROCESSOR = """
import sys, numpy, torch
from transformers import AutoProcessor
processor = AutoProcessor.from_pretrained(sys.argv[1])
for name in sys.argv[2:]:
    given = numpy.load(name)
    metadata = {"fps": 10.0, "frames_indices": given["indices"].tolist(), "total_num_frames": 30}
    out = processor(
        text=["<|vision_start|><|video_pad|><|vision_end|>"],
        videos=[torch.from_numpy(given["frames"]).permute(0, 3, 1, 2)],
        do_sample_frames=False,
        video_metadata=[metadata],
        return_tensors="pt",
    )
    found = {key: out[key][0] for key in ("input_ids", "video_grid_thw")}
    numpy.savez(name, **given, patches=out["pixel_values_videos"], **found)
"""


def test_the_patches_and_marks_of_a_video_are_those_of_transformers_own_processor(twin, tmp_path):
    """It needs torchvision, so it runs in vLLM's environment."""
    tokenizer = AutoTokenizer.from_pretrained(twin)
    rules = video_patches.load_rules(twin)
    clips = {}
    for number, (count, width, height) in enumerate([(4, 96, 64), (5, 100, 70), (6, 20, 300)]):
        frames = np.stack([videos.frame(i, width, height, seed=i) for i in range(count)])
        path = tmp_path / f"{number}.npz"
        clips[path] = video.Clip(frames, [0, 6, 12, 17, 23, 29][:count], 10.0)
        np.savez(path, frames=frames, indices=clips[path].indices)
    environment = environments.find("vllm")
    subprocess.run(
        [str(each) for each in (environment.python, "-c", PROCESSOR, twin, *clips)],
        env={"PYTHONPATH": str(environments.INJECT), "HF_HUB_OFFLINE": "1"},
        check=True,
    )
    for path, clip in clips.items():
        theirs = np.load(path)
        found, grid = rules.patches(clip)
        assert grid == tuple(theirs["video_grid_thw"])
        assert (found == theirs["patches"]).all()
        marks = f"<|vision_start|>{rules.marks(clip, grid)}<|vision_end|>"
        assert tokenizer(marks)["input_ids"] == theirs["input_ids"].tolist()


def test_structured_output_keeps_to_its_schema(server, tmp_path):
    check_structured_output(server, tmp_path)


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
        ids, logprobs, _ = ask(server, short, images)
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


def test_parity_is_status_0_and_a_stale_cache_after_an_update_is_3(
    server, engine, folder, tmp_path
):
    lines = records_of_parity(tmp_path)
    done = parity(server, folder / "twin", tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "records.jsonl").write_text(lines[0])  # a stale image would end the engine
    rpc = {"method": "qvl_reload", "kwargs": {"folder": str(folder / "other")}}
    assert server.post("/collective_rpc", rpc)
    done = parity(server, folder / "other", tmp_path)
    assert done.returncode == 3 and "next-token" in done.stderr, done.stderr
    engine.load_weights(folder / "twin", "default")
    assert parity(server, folder / "twin", tmp_path).returncode == 0


def test_parity_of_videos_is_0(server, engine, folder, tmp_path):
    records_of_videos(tmp_path)
    done = parity(server, folder / "twin", tmp_path, "videos.jsonl")
    assert done.returncode == 0, done.stderr


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


def test_parity_of_frames_sampled_at_another_rate_is_status_3(tmp_path, twin):
    records_of_videos(tmp_path)
    media = """--media-io-kwargs '{"video":{"num_frames":-1,"fps":1.0}}'"""
    words = ("--backend", "vllm", "--port", 0, f"--engine-args={media}")
    running = Running(tmp_path / "log", twin, *words)
    try:
        done = parity(running, twin, tmp_path, "videos.jsonl")
        assert done.returncode == 3 and "record 'a.mp4': token " in done.stderr, done.stderr
    finally:
        running.stop()


def test_an_engine_that_is_killed_is_reported_in_one_line(tmp_path, twin):
    running = Running(tmp_path / "log", twin, "--backend", "vllm", "--port", 0)
    os.kill(running.facts["engine_pid"], signal.SIGKILL)
    assert running.process.wait(timeout=60) == 4
    assert running.last_line().startswith("qvl: error: vllm died: it was killed")
    assert running.children() == []


def test_an_unknown_flag_of_the_engine_is_reported(tmp_path, twin):
    words = ("--backend", "vllm", "--port", 0, "--engine-args=--no-such-flag")
    running = Running(tmp_path / "log", twin, *words, wait=False)
    assert running.process.wait(timeout=120) == 4
    assert running.last_line() == "qvl: error: vllm died: it has no option --no-such-flag"


def test_kill_9_of_qvl_ends_the_engine(tmp_path, twin):
    running = Running(tmp_path / "log", twin, "--backend", "vllm", "--port", 0, wait=False)
    while not running.children():
        time.sleep(0.2)
    time.sleep(3)
    running.process.kill()
    deadline = time.monotonic() + 60
    while running.children() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert running.children() == []
