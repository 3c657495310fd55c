"""What every engine must do as a policy: tests that run in a file of each, with its own `engine`,
`reference` (of the first folder) and `folders` (name -> checkpoint, the first is served)."""

import itertools
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
from running import CASES, TOLERANCE, Reference, data_uri, difference, write_videos

from qvl.engines.client import EngineClient
from qvl.engines.tokens import Completion, SamplingParams, TokensPrompt
from qvl.errors import EndpointError, UserError
from qvl.media import video

UPDATES = 20


def prompt_of(reference: Reference, case: str) -> tuple[TokensPrompt, dict]:
    text, images = CASES[case]
    short, inputs = reference.prompt(text, images)
    return TokensPrompt(short, [data_uri(each) for each in images]), inputs


@pytest.mark.parametrize("case", CASES)
def test_samples_and_scores_are_those_of_transformers(
    engine: EngineClient, reference: Reference, case: str
):
    check(engine, reference, *prompt_of(reference, case))


@pytest.mark.parametrize("case", ["a file", "frames", "with images"])
def test_samples_and_scores_of_videos_are_those_of_transformers(
    engine: EngineClient, reference: Reference, case: str, tmp_path: Path
):
    file, frames = write_videos(tmp_path)
    text, images = CASES["three images" if case == "with images" else "text"]
    uris = {"a file": [file], "frames": [frames], "with images": [file, frames, file]}[case]
    clips = [video.read(each, tmp_path) for each in uris]
    short, inputs = reference.prompt(text, images, clips)
    check(engine, reference, TokensPrompt(short, [data_uri(each) for each in images], uris), inputs)


def check(engine: EngineClient, reference: Reference, prompt: TokensPrompt, inputs: dict) -> None:
    """An answer, the same again, and the score of both are transformers' own."""
    full = inputs["input_ids"][0].tolist()
    sampling = SamplingParams(max_tokens=12, seed=3, top_logprobs=5)
    sample = engine.generate(prompt, sampling).result()
    assert sample.prompt_ids == full and sample.is_plain
    assert len(sample.token_ids) == len(sample.logprobs) == len(sample.top_logprobs)
    assert difference(reference, inputs, sample.token_ids, sample.logprobs)[0] <= TOLERANCE
    again = engine.generate(prompt, sampling).result()
    assert (again.token_ids, again.finish_reason) == (sample.token_ids, sample.finish_reason)

    whole = TokensPrompt([*prompt.token_ids, *sample.token_ids], prompt.images, prompt.videos)
    score = engine.prompt_logprobs(whole, top=8).result()
    table = reference.logprobs(inputs, sample.token_ids)[:-1]
    ids = [*full, *sample.token_ids]
    assert score.prompt_ids == ids
    for place in range(1, len(ids)):
        said = score.logprobs[place]
        assert (said is None) == (ids[place] in engine.rules.pads)
        if said is not None:
            assert abs(said - table[place - 1, ids[place]].item()) <= TOLERANCE
        likeliest = table[place - 1].topk(8)
        values = torch.tensor([value for _, value in score.top_logprobs[place - 1]])
        assert (values - likeliest.values).abs().max() <= TOLERANCE
    # What is sampled and what is scored is one policy.
    both = zip(sample.logprobs, score.logprobs[len(full) :], strict=True)
    assert all(abs(one - (other or 0)) <= TOLERANCE for one, other in both)


def test_a_conversation_goes_on_without_tokenising_again(
    engine: EngineClient, reference: Reference
) -> None:
    """The next turn brings images; the ids before it are those that were sampled."""
    first, _ = prompt_of(reference, "one image")
    said = engine.generate(first, SamplingParams(max_tokens=6, seed=1)).result()
    more, _ = prompt_of(reference, "three images")
    turn = TokensPrompt(
        [*first.token_ids, *said.token_ids, *more.token_ids], [*first.images, *more.images]
    )
    answer = engine.generate(turn, SamplingParams(max_tokens=6, seed=1)).result()
    pictures = [*CASES["one image"][1], *CASES["three images"][1]]
    cut = reference.image_processor(pictures, return_tensors="pt")
    inputs = {**cut, "input_ids": torch.tensor([answer.prompt_ids])}
    assert difference(reference, inputs, answer.token_ids, answer.logprobs)[0] <= TOLERANCE


def test_a_wrong_prompt_is_refused_before_it_is_sent(
    engine: EngineClient, reference: Reference
) -> None:
    prompt, inputs = prompt_of(reference, "one image")
    expanded = inputs["input_ids"][0].tolist()
    for wrong, told in (
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
        with pytest.raises(UserError, match=told):
            engine.generate(wrong, SamplingParams())
    assert (
        engine.prompt_logprobs(TokensPrompt([1, 2])).result().logprobs[0] is None
    )  # and the engine lives


def test_the_tokens_of_images_are_never_drawn(engine: EngineClient) -> None:
    """Flat logits, of which each would be drawn in one of 512 places."""
    prompt = TokensPrompt([1, 2, 3])
    asked = [
        engine.generate(prompt, SamplingParams(max_tokens=100, temperature=100.0, seed=seed))
        for seed in range(40)
    ]
    drawn = {token for each in asked for token in each.result().token_ids}
    assert len(drawn) > 400
    assert not drawn & {*engine.rules.never_sampled}


def test_updates_under_load_leave_every_answer_to_one_version(
    engine: EngineClient, folders: dict[str, Path]
) -> None:
    """Text and an image are asked for again and again while weights change 20 times."""
    references = {name: Reference(folder) for name, folder in folders.items()}
    some = next(iter(references.values()))
    prompts = [prompt_of(some, case) for case in ("text", "one image")]
    found: list[tuple[dict, Future[Completion]]] = []
    over = threading.Event()

    def load() -> None:
        for seed in itertools.count():
            if over.is_set():
                return
            prompt, inputs = prompts[seed % 2]
            asked = engine.generate(prompt, SamplingParams(max_tokens=10, seed=seed))
            found.append((inputs, asked))
            asked.exception()  # waits

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
        over.set()
        for worker in workers:
            worker.join()
    seen = set()
    for inputs, asked in found:
        sample = asked.result()
        assert len(sample.weight_versions) == 1
        (version, begin, end) = sample.weight_versions[0]
        assert (begin, end) == (0, len(sample.token_ids))
        reference = references[versions.get(version, names[0])]
        assert difference(reference, inputs, sample.token_ids, sample.logprobs)[0] <= TOLERANCE
        seen.add(version)
    assert len(seen) > UPDATES / 2
    engine.load_weights(folders[names[0]], "default")


def test_an_order_waits_for_no_slot_of_those_that_wait_for_it(engine: EngineClient) -> None:
    """More is asked than may be in flight: all slots wait for the engine to go on."""
    engine.pause()
    wanted = 2 * engine.client.concurrency
    asked = [
        engine.generate(TokensPrompt([1, 2, 3]), SamplingParams(max_tokens=4, seed=seed))
        for seed in range(wanted)
    ]
    assert asked.pop().cancel()
    resumed = threading.Thread(target=engine.resume, daemon=True)
    resumed.start()
    resumed.join(timeout=10)
    assert not resumed.is_alive()
    assert {each.result(timeout=60).finish_reason for each in asked} <= {"stop", "length"}


def test_a_folder_that_cannot_be_loaded_changes_nothing(
    engine: EngineClient, folders: dict[str, Path], tmp_path: Path
) -> None:
    before = engine.prompt_logprobs(TokensPrompt([1, 2, 3, 4])).result()
    served = next(iter(folders.values()))
    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    for path in served.iterdir():
        (spoilt / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="not a checkpoint"):
        engine.load_weights(tmp_path / "nowhere", "x")
    content = (spoilt / "model.safetensors").read_bytes()
    (spoilt / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises((UserError, EndpointError), match="spoilt"):
        engine.load_weights(spoilt, "x")
    assert engine.weight_version == before.weight_version
    assert engine.prompt_logprobs(TokensPrompt([1, 2, 3, 4])).result() == before


def test_what_is_asked_while_it_is_paused_is_answered_after(engine: EngineClient) -> None:
    engine.pause()
    asked = engine.generate(TokensPrompt([1, 2, 3]), SamplingParams(max_tokens=2, seed=1))
    with pytest.raises(TimeoutError):
        asked.result(timeout=0.5)
    engine.resume()
    assert asked.result(timeout=30).finish_reason in ("stop", "length")
    engine.sleep()
    engine.wake()
    assert (
        engine.generate(TokensPrompt([1, 2, 3]), SamplingParams(max_tokens=2, seed=1)).result()
        == asked.result()
    )
