"""The contract of every EngineClient: tests that each engine's test file imports. It has the fixtures
`engine`, `reference` (of the first folder) and `folders` (name -> checkpoint, the first is served)."""

import itertools
import json
import os
import shutil
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
from running import (
    BIN,
    CASES,
    KEY,
    TOLERANCE,
    Reference,
    data_uri,
    difference,
    write_videos,
)
from safetensors.torch import load_file, save_file

from qvl.engines.client import EngineClient
from qvl.engines.tokens import Completion, SamplingParams, TokensPrompt
from qvl.errors import EndpointError, UserError
from qvl.io import jsonl
from qvl.media import video
from qvl.tiny import data

UPDATES = 20


def prompt_of(reference: Reference, case: str) -> tuple[TokensPrompt, dict]:
    text, images = CASES[case]
    short, inputs = reference.prompt(text, images)
    return TokensPrompt(short, [data_uri(each) for each in images]), inputs


@pytest.mark.parametrize("case", CASES)
def test_log_probs_are_those_of_transformers(engine: EngineClient, reference: Reference, case: str):
    check(engine, reference, *prompt_of(reference, case))


@pytest.mark.parametrize("case", ["a file", "frames", "with images"])
def test_log_probs_with_videos_are_those_of_transformers(
    engine: EngineClient, reference: Reference, case: str, tmp_path: Path
):
    file, frames = write_videos(tmp_path)
    text, images = CASES["three images" if case == "with images" else "text"]
    uris = {"a file": [file], "frames": [frames], "with images": [file, frames, file]}[case]
    clips = [video.read(each, tmp_path) for each in uris]
    short, inputs = reference.prompt(text, images, clips)
    check(engine, reference, TokensPrompt(short, [data_uri(each) for each in images], uris), inputs)


def check(engine: EngineClient, reference: Reference, prompt: TokensPrompt, inputs: dict) -> None:
    """A completion, its repetition and the log-probs of its tokens are those of transformers."""
    full = inputs["input_ids"][0].tolist()
    params = SamplingParams(max_tokens=12, seed=3, top_logprobs=5)
    completion = engine.generate(prompt, params).result()
    assert completion.prompt_ids == full and completion.is_plain
    assert len(completion.token_ids) == len(completion.logprobs) == len(completion.top_logprobs)
    assert difference(reference, inputs, completion.token_ids, completion.logprobs)[0] <= TOLERANCE
    again = engine.generate(prompt, params).result()
    assert (again.token_ids, again.finish_reason) == (
        completion.token_ids,
        completion.finish_reason,
    )

    whole = TokensPrompt([*prompt.token_ids, *completion.token_ids], prompt.images, prompt.videos)
    scored = engine.prompt_logprobs(whole, top=8).result()
    table = reference.logprobs(inputs, completion.token_ids)[:-1]
    ids = [*full, *completion.token_ids]
    assert scored.prompt_ids == ids
    for place in range(1, len(ids)):
        logprob = scored.logprobs[place]
        assert (logprob is None) == (ids[place] in engine.rules.pads)
        if logprob is not None:
            assert abs(logprob - table[place - 1, ids[place]].item()) <= TOLERANCE
        expected = table[place - 1].topk(8)
        values = torch.tensor(scored.top_logprobs[place])
        assert (values - expected.values).abs().max() <= TOLERANCE
    # The last tokens alone have the same.
    end = engine.prompt_logprobs(whole, top=8, last=5).result()
    assert len(end.logprobs) == len(end.top_ids) == len(end.top_logprobs) == 5
    both = zip(end.logprobs, scored.logprobs[-5:], strict=True)
    assert all(abs((one or 0) - (other or 0)) <= TOLERANCE for one, other in both)
    # Sampling and scoring return the same log-probs.
    both = zip(completion.logprobs, scored.logprobs[len(full) :], strict=True)
    assert all(abs(one - (other or 0)) <= TOLERANCE for one, other in both)


def test_a_conversation_continues_without_tokenising_again(
    engine: EngineClient, reference: Reference
) -> None:
    """The next turn has images; the ids before it are those that were sampled."""
    first, _ = prompt_of(reference, "one image")
    sampled = engine.generate(first, SamplingParams(max_tokens=6, seed=1)).result()
    more, _ = prompt_of(reference, "three images")
    turn = TokensPrompt(
        [*first.token_ids, *sampled.token_ids, *more.token_ids], [*first.images, *more.images]
    )
    answer = engine.generate(turn, SamplingParams(max_tokens=6, seed=1)).result()
    pictures = [*CASES["one image"][1], *CASES["three images"][1]]
    processed = reference.image_processor(pictures, return_tensors="pt")
    inputs = {**processed, "input_ids": torch.tensor([answer.prompt_ids])}
    assert difference(reference, inputs, answer.token_ids, answer.logprobs)[0] <= TOLERANCE


def test_a_wrong_prompt_is_refused_before_it_is_sent(
    engine: EngineClient, reference: Reference
) -> None:
    prompt, inputs = prompt_of(reference, "one image")
    expanded = inputs["input_ids"][0].tolist()
    for wrong, message in (
        (TokensPrompt(expanded, prompt.images), "1 images"),
        (TokensPrompt(prompt.token_ids), "0 images"),
        (TokensPrompt([engine.rules.video_token]), "1 video tokens for 0 videos"),
        (TokensPrompt([1], videos=["data:video/mp4;base64,AAAA"]), "0 video tokens for 1 videos"),
        (
            TokensPrompt([engine.rules.video_token], videos=["data:video/mp4;base64,AAAA"]),
            "video data:",
        ),
        (TokensPrompt([1, engine.rules.vocabulary]), "the vocabulary has"),
        (TokensPrompt([-1]), "token id -1"),
    ):
        with pytest.raises(UserError, match=message):
            engine.generate(wrong, SamplingParams())
    assert (
        engine.prompt_logprobs(TokensPrompt([1, 2])).result().logprobs[0] is None
    )  # and the engine lives


def test_the_tokens_of_images_are_never_sampled(engine: EngineClient) -> None:
    """The logits are flat: each of the 512 tokens would be sampled. Not for vLLM, whose temperatures end
    at 2, where a logit bias of -100 is a ban."""
    prompt = TokensPrompt([1, 2, 3])
    requests = [
        engine.generate(prompt, SamplingParams(max_tokens=100, temperature=100.0, seed=seed))
        for seed in range(40)
    ]
    sampled = {token for each in requests for token in each.result().token_ids}
    assert len(sampled) > 400
    assert not sampled & {*engine.rules.never_sampled}


def test_a_conversation_that_goes_on_under_new_weights_is_of_these_alone(
    engine: EngineClient, folders: dict[str, Path]
) -> None:
    """What the engine keeps of a turn is of the weights that computed it."""
    first, *_, last = folders
    prompt, _ = prompt_of(Reference(folders[first]), "one image")
    sampled = engine.generate(prompt, SamplingParams(max_tokens=6, seed=1)).result()
    turn = TokensPrompt([*prompt.token_ids, *sampled.token_ids, 9, 10, 11], prompt.images)
    engine.load_weights(folders[last], "later")
    answer = engine.generate(turn, SamplingParams(max_tokens=6, seed=1)).result()
    engine.load_weights(folders[first], "default")
    reference = Reference(folders[last])
    processed = reference.image_processor(CASES["one image"][1], return_tensors="pt")
    inputs = {**processed, "input_ids": torch.tensor([answer.prompt_ids])}
    assert difference(reference, inputs, answer.token_ids, answer.logprobs)[0] <= TOLERANCE


def test_updates_under_load_leave_one_version_per_completion(
    engine: EngineClient, folders: dict[str, Path]
) -> None:
    """Prompts of text and of an image are sent again and again while weights change 20 times."""
    references = {name: Reference(folder) for name, folder in folders.items()}
    some = next(iter(references.values()))
    prompts = [prompt_of(some, case) for case in ("text", "one image")]
    responses: list[tuple[dict, Future[Completion]]] = []
    done = threading.Event()

    def load() -> None:
        for seed in itertools.count():
            if done.is_set():
                return
            prompt, inputs = prompts[seed % 2]
            response = engine.generate(prompt, SamplingParams(max_tokens=10, seed=seed))
            responses.append((inputs, response))
            response.exception()  # waits

    workers = [threading.Thread(target=load) for _ in range(3)]
    for worker in workers:
        worker.start()
    names = list(folders)
    versions = {}
    try:
        for number in range(UPDATES):
            name = names[(number + 1) % len(names)]
            versions[f"{name}-{number}"] = name
            engine.load_weights(folders[name], f"{name}-{number}")
            assert engine.weight_version == f"{name}-{number}"
    finally:
        done.set()
        for worker in workers:
            worker.join()
    seen = set()
    for inputs, response in responses:
        completion = response.result()
        assert len(completion.weight_versions) == 1
        (version, begin, end) = completion.weight_versions[0]
        assert (begin, end) == (0, len(completion.token_ids))
        reference = references[versions.get(version, names[0])]
        assert (
            difference(reference, inputs, completion.token_ids, completion.logprobs)[0] <= TOLERANCE
        )
        seen.add(version)
    assert len(seen) > UPDATES / 2
    engine.load_weights(folders[names[0]], "default")


@pytest.mark.parametrize("part", ["model.language_model.", "model.visual."])
def test_an_update_that_changes_little_is_taken(
    engine: EngineClient, folders: dict[str, Path], tmp_path: Path, part: str
) -> None:
    """As a step of RL at a small rate does, or of the vision tower alone, which a text never sees."""
    first = next(iter(folders))
    near = tmp_path / "near"
    shutil.copytree(folders[first], near)
    (file,) = near.glob("*.safetensors")
    tensors = load_file(file)
    moved = {name: x * (1 + 1e-5) if name.startswith(part) else x for name, x in tensors.items()}
    save_file(moved, file, {"format": "pt"})
    engine.load_weights(near, "near")
    assert engine.weight_version == "near"
    engine.load_weights(folders[first], "default")


def test_a_command_does_not_wait_for_requests_that_wait_for_it(engine: EngineClient) -> None:
    """More requests than may be in flight: all of them wait until the engine resumes."""
    engine.pause()
    wanted = 2 * engine.client.concurrency
    requests = [
        engine.generate(TokensPrompt([1, 2, 3]), SamplingParams(max_tokens=4, seed=seed))
        for seed in range(wanted)
    ]
    assert requests.pop().cancel()
    resumed = threading.Thread(target=engine.resume, daemon=True)
    resumed.start()
    resumed.join(timeout=10)
    assert not resumed.is_alive()
    assert {each.result(timeout=60).finish_reason for each in requests} <= {"stop", "length"}


def test_a_folder_that_cannot_be_loaded_changes_nothing(
    engine: EngineClient, folders: dict[str, Path], tmp_path: Path
) -> None:
    before = engine.prompt_logprobs(TokensPrompt([1, 2, 3, 4])).result()
    served = next(iter(folders.values()))
    corrupted = tmp_path / "corrupted"
    corrupted.mkdir()
    for path in served.iterdir():
        (corrupted / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="not a checkpoint"):
        engine.load_weights(tmp_path / "nowhere", "x")
    content = (corrupted / "model.safetensors").read_bytes()
    (corrupted / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises((UserError, EndpointError), match="corrupted"):
        engine.load_weights(corrupted, "x")
    assert engine.weight_version == before.weight_version
    assert engine.prompt_logprobs(TokensPrompt([1, 2, 3, 4])).result() == before


def test_requests_during_a_pause_are_answered_after_it(engine: EngineClient) -> None:
    engine.pause()
    response = engine.generate(TokensPrompt([1, 2, 3]), SamplingParams(max_tokens=2, seed=1))
    with pytest.raises(TimeoutError):
        response.result(timeout=0.5)
    engine.resume()
    assert response.result(timeout=30).finish_reason in ("stop", "length")
    engine.sleep()
    engine.wake()
    assert (
        engine.generate(TokensPrompt([1, 2, 3]), SamplingParams(max_tokens=2, seed=1)).result()
        == response.result()
    )


def test_what_it_samples_is_what_rl_trains(
    engine: EngineClient, folders: dict[str, Path], tmp_path: Path
) -> None:
    """Two steps of `qvl rl sapo`, with images: the gap is that of fp32, and the weights are new."""
    first = next(iter(folders))
    data.write(tmp_path, data.DataPlan(names=["digit"], train=4, test=1, defect_share=0))
    words = ["--verifier", "own_rewards:even", "-n", "4", "--batch", "2", "--steps", "2"]
    words += ["--max-tokens", "6", "--lr", "1e-4", "raw.jsonl.zst", "-o", "better"]
    run = [BIN / "qvl", "rl", "sapo", "--model", folders[first], "--endpoint", engine.endpoint]
    tests = str(Path(__file__).parent.parent)
    env = {**os.environ, "QVL_API_KEY": KEY, "PYTHONPATH": tests}
    done = subprocess.run([*run, *words], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "better" / "log.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if "gap" in row]
    assert [row["step"] for row in rows] == [1, 2]
    assert max(row["gap_max"] for row in rows) <= TOLERANCE
    found = jsonl.read(str(tmp_path / "better" / "rollouts" / "step-000002.jsonl.zst"))
    versions = {each[0] for r in found for x in r["responses"] for each in x["weight_versions"]}
    assert versions == {"step-000001"}
    engine.load_weights(folders[first], "default")
