"""A scalar reward model of Qwen3-VL's shape on a real vLLM, asked by the client: text and images."""

import os
from pathlib import Path

import pytest
from reward_model import Reference, write_reward_model
from running import KEY, Running, picture

from qvl.client import Client
from qvl.errors import UserError

pytestmark = pytest.mark.engines
TOLERANCE = 1e-4
ANSWER = {"role": "assistant", "content": "There are three of them."}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_reward_model(tmp_path_factory.mktemp("reward") / "model")


@pytest.fixture(scope="module")
def client(folder):
    words = (folder, "--backend", "vllm", "--port", 0, "--engine-args", "--runner pooling")
    running = Running(folder.parent / "log", *words)
    os.environ["QVL_API_KEY"] = KEY
    with Client([running.url], root=folder.parent) as client:
        yield client
    assert running.stop() == 143


def test_the_score_is_the_heads_own_value(client, folder):
    reference = Reference(folder)
    pictures = [picture(96, 64, 2), picture(160, 96, 1)]
    for number, each in enumerate(pictures):
        each.save(Path(folder.parent, f"{number}.png"))
    for count in range(3):
        parts: list[dict] = [{"type": "image", "image": f"{at}.png"} for at in range(count)]
        question = {"role": "user", "content": [*parts, {"type": "text", "text": "How many?"}]}
        expected = reference.score([question, ANSWER], pictures[:count])
        assert client.score([question, ANSWER]).result() == pytest.approx(expected, abs=TOLERANCE)


def test_a_reward_model_answers_no_chat(client):
    with pytest.raises(UserError, match="404"):
        client.complete([{"role": "user", "content": "How many?"}])
