"""Client.score: the route that a server describes, the raw score, what is refused, what is paid."""

import pytest
from fake_endpoint import FakeEndpoint

from qvl.client import Budget, Client
from qvl.errors import CheckFailed, EndpointError, UserError

MESSAGES = [{"role": "user", "content": "How many?"}, {"role": "assistant", "content": "Three."}]


def described(path, **shapes):
    """An openapi.json with one route that takes any of these shapes, as FastAPI writes it."""
    schemas = {
        name: {"properties": {field: {} for field in fields.split()}}
        for name, fields in shapes.items()
    }
    taken = [{"$ref": f"#/components/schemas/{name}"} for name in shapes]
    body = {"content": {"application/json": {"schema": {"anyOf": taken}}}}
    return {"paths": {path: {"post": {"requestBody": body}}}, "components": {"schemas": schemas}}


VLLM = described(
    "/classify", Text="model input use_activation", Chat="model messages use_activation"
)
POOLING = described("/pooling", Chat="model messages use_activation task")
SGLANG = described("/classify", EmbeddingReqInput="text input_ids image_data")


def probabilities(*values):
    said = {"data": [{"probs": list(values)}], "usage": {"prompt_tokens": 7}}
    return lambda body, attempt: (200, {}, said)


def asked(fake, messages=MESSAGES, **options):
    with Client([fake.url], retries=1, first_backoff_seconds=0.01, **options) as client:
        return client.score(messages).result(), client.facts


def test_vllm_is_sent_messages_and_asked_for_the_logit():
    with FakeEndpoint(probabilities(-2.5), VLLM) as fake:
        assert asked(fake) == (-2.5, {"tokens": 7})
    ((_, body),) = fake.requests
    assert body == {
        "model": "fake",
        "messages": MESSAGES,
        "add_generation_prompt": False,
        "use_activation": False,
    }


def test_pooling_is_taken_where_there_is_no_classify():
    said = {"data": [{"data": [1.5]}], "usage": {"prompt_tokens": 3}}
    with FakeEndpoint(lambda body, attempt: (200, {}, said), POOLING) as fake:
        assert asked(fake) == (1.5, {"tokens": 3})
    assert fake.requests[0][1]["task"] == "classify"


def test_sglang_is_sent_chatml():
    said = {"embedding": [0.25], "meta_info": {"prompt_tokens": 9}}
    with FakeEndpoint(lambda body, attempt: (200, {}, said), SGLANG) as fake:
        assert asked(fake) == (0.25, {"tokens": 9})
    assert fake.requests[0][1] == {
        "text": "<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\nThree.<|im_end|>\n"
    }


def test_an_image_is_refused_where_only_text_is_read(media):
    seen = [{"role": "user", "content": [{"type": "image", "image": "small.png"}]}]
    with (
        FakeEndpoint(probabilities(1), SGLANG) as fake,
        pytest.raises(UserError, match="scores text alone"),
    ):
        asked(fake, seen, root=media)
    assert not fake.requests


def test_an_image_goes_to_vllm_as_a_data_uri(media):
    seen = [{"role": "user", "content": [{"type": "image", "image": "small.png"}]}]
    with FakeEndpoint(probabilities(1), VLLM) as fake:
        asked(fake, seen, root=media)
    (part,) = fake.requests[0][1]["messages"][0]["content"]
    assert part["image_url"]["url"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    "routes, problem",
    [
        (described("/v1/chat/completions", Chat="messages"), "serves no reward model"),
        (described("/classify", Chat="messages"), "returns no raw score"),
        (None, "answered 404"),
    ],
)
def test_a_server_without_the_route_is_told_apart(routes, problem):
    with FakeEndpoint(probabilities(1), routes) as fake, pytest.raises(UserError, match=problem):
        asked(fake)


def test_several_labels_are_no_reward():
    with (
        FakeEndpoint(probabilities(0.1, 0.9), VLLM) as fake,
        pytest.raises(UserError, match="2 numbers"),
    ):
        asked(fake)


@pytest.mark.parametrize("said", [{}, {"data": []}, {"data": [{"probs": [None]}]}])
def test_an_answer_without_a_score_is_retried_then_an_error(said):
    with (
        FakeEndpoint(lambda body, attempt: (200, {}, said), VLLM) as fake,
        pytest.raises(EndpointError, match="without a score"),
    ):
        asked(fake)
    assert len(fake.requests) == 2


def test_a_score_is_paid_once(tmp_path):
    with FakeEndpoint(probabilities(3), VLLM) as fake:
        for facts in ({"tokens": 7, "cache_hits": 0}, {"tokens": 0, "cache_hits": 1}):
            assert asked(fake, cache=str(tmp_path / "cache")) == (3.0, facts)
    assert len(fake.requests) == 1


def test_another_models_score_is_asked_anew_where_the_body_names_no_model(tmp_path):
    values = iter((1.0, 2.0))
    with FakeEndpoint(lambda *_: (200, {}, {"embedding": [next(values)]}), SGLANG) as fake:
        for model, score in (("one", 1.0), ("two", 2.0), ("one", 1.0)):
            with Client([fake.url], model, cache=str(tmp_path / "cache")) as client:
                assert client.score(MESSAGES).result() == score


def test_the_budget_of_tokens_ends_it():
    budget = Budget(7)
    with FakeEndpoint(probabilities(3), VLLM) as fake, Client([fake.url], budget=budget) as client:
        assert client.score(MESSAGES).result() == 3
        with pytest.raises(CheckFailed, match="7 tokens are spent"):
            client.score(MESSAGES).result()
