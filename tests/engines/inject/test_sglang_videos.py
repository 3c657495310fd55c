"""The videos of qvl in SGLang's process, without SGLang; test_sglang.py tests them with it."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest
import videos
from fake_endpoint import FakeEndpoint, completion
from PIL import Image

from qvl.client import chat
from qvl.engines.client import connect
from qvl.engines.serving.environments import INJECT
from qvl.engines.tokens import SamplingParams, TokensPrompt
from qvl.errors import UserError
from qvl.media import video

BARE = "import qvl_sglang_videos as v; m = v.qvl_video(); print(m.__file__, m.choose, m.FPS)"


@pytest.fixture
def shim(monkeypatch):
    monkeypatch.syspath_prepend(str(INJECT))
    yield importlib.import_module("qvl_sglang_videos")
    sys.modules.pop("qvl_sglang_videos")


def test_sampling_frames_needs_nothing_of_an_engine_s_environment(tmp_path):
    """With -S no installed package is found, nor the qvl of this environment."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", BARE],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(INJECT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(INJECT.parent.parent / "media" / "video.py"))
    assert done.stdout.endswith(" 2.0\n")


def test_a_request_s_videos_become_the_frames_that_qvl_samples(shim, tmp_path):
    videos.write(tmp_path / "a.mp4", 30, width=100, height=70)
    for i in range(3):
        Image.fromarray(videos.frame(i, 96, 64, seed=i)).save(tmp_path / f"{i}.png")
    for reference in ("a.mp4", [f"{i}.png" for i in range(3)]):
        parts = [{"type": "video", "video": reference}]
        (message,) = chat.to_openai([{"role": "user", "content": parts}], tmp_path)
        found = shim.load(message["content"][0]["video_url"]["url"])
        wanted = video.read(reference, tmp_path)
        assert (found.frames.permute(0, 2, 3, 1).numpy() == wanted.frames).all()
        assert found.metadata["frames_indices"] == wanted.indices
        assert found.metadata["fps"] == wanted.fps
        assert shim.load(found) is found
    uneven = [np.zeros((64, 96, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)]
    for i, pixels in enumerate(uneven):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    sent = chat.frames_uri(["0.png", "1.png"], tmp_path)
    for wrong, message in (
        (sent, "different sizes"),
        ("data:video/mp4;base64,AAAA", "video data:"),
    ):
        with pytest.raises(ValueError, match=message):
            shim.load(wrong)


def test_videos_are_not_sent_to_an_sglang_that_samples_other_frames(twin):
    """It was not started by qvl serve."""
    paths = ("/v1/chat/completions", "/generate", "/update_weights_from_disk")
    described = {"openapi": "3.1.0", "paths": {path: {} for path in paths}}
    with (
        FakeEndpoint(lambda body, attempt: completion("x"), described) as fake,
        connect(fake.url, twin) as engine,
    ):
        prompt = TokensPrompt([engine.rules.video_token], videos=["data:video/mp4;base64,AAAA"])
        calls = (engine.prompt_logprobs, lambda each: engine.generate(each, SamplingParams()))
        for call in calls:
            with pytest.raises(UserError, match="samples other frames"):
                call(prompt)
        assert fake.requests == []
