"""Scalar reward models on the real engines: the client's score is that of transformers."""

import pytest
from classifiers import Classifier, write_text, write_visual
from running import KEY, TOLERANCE, Running, data_uri, picture

from qvl.client import Client
from qvl.errors import UserError

pytestmark = pytest.mark.engines
WORDS = [
    [{"role": "user", "content": "How many objects?"}, {"role": "assistant", "content": answer}]
    for answer in ("Three.", "4", "I see two red ones and a blue one.")
]


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def visual(tmp_path_factory):
    return write_visual(tmp_path_factory.mktemp("visual"))


def served(folder, backend, words):
    """A server for all tests of it."""
    log = folder.parent / f"{folder.name}-{backend}.log"
    running = Running(log, folder, "--backend", backend, "--port", 0, "--engine-args", words)
    yield running
    running.stop()
    assert running.children() == []


@pytest.fixture(scope="session")
def text_on_vllm(text):
    yield from served(text, "vllm", "--runner pooling")


@pytest.fixture(scope="session")
def visual_on_vllm(visual):
    yield from served(visual, "vllm", "--runner pooling")


@pytest.fixture(scope="session")
def text_on_sglang(text):
    yield from served(text, "sglang", "--is-embedding")


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("QVL_API_KEY", KEY)


@pytest.mark.parametrize("name", ["text_on_vllm", "text_on_sglang"])
def test_the_score_of_a_text_model_is_that_of_transformers(name, text, key, request):
    reference = Classifier(text)
    with Client([request.getfixturevalue(name).url]) as client:
        futures = [client.score(each) for each in WORDS]
        scores = [each.result() for each in futures]
        tokens = client.tokens
    assert scores == pytest.approx([reference.text(each) for each in WORDS], abs=TOLERANCE)
    assert len(set(scores)) == len(WORDS)
    assert tokens == sum(reference.ids(each).numel() for each in WORDS)


def test_a_score_depends_on_the_image(visual, visual_on_vllm, key):
    reference, scores = Classifier(visual), []
    with Client([visual_on_vllm.url]) as client:
        for seed in (1, 2):
            image = picture(160, 96, seed)
            asked, rendered = (
                [
                    {"role": "user", "content": [part, {"type": "text", "text": "What is it?"}]},
                    {"role": "assistant", "content": "A boat."},
                ]
                for part in ({"type": "image", "image": data_uri(image)}, {"type": "image"})
            )
            scores.append(client.score(asked).result())
            assert scores[-1] == pytest.approx(reference.visual(rendered, image), abs=TOLERANCE)
    assert abs(scores[0] - scores[1]) > TOLERANCE


def test_a_text_model_rejects_an_image(text_on_sglang, key):
    seen = [{"role": "user", "content": [{"type": "image", "image": data_uri(picture(64, 64, 1))}]}]
    with (
        Client([text_on_sglang.url]) as client,
        pytest.raises(UserError, match="scores text alone"),
    ):
        client.score(seen).result()
