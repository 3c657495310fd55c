"""The local engine's answers to OpenAI's own client, which in strict mode validates them by OpenAI's schema."""

import json

import pytest
from asking import data_uri

openai = pytest.importorskip("openai")

USER = {"role": "user", "content": "What is 7 + 8?"}
FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
TOOLS = [{"type": "function", "function": FUNCTION}]
CALL = '<tool_call>\\n\\{"name": "f", "arguments": \\{"a": 1\\}\\}\\n</tool_call>'


@pytest.fixture(scope="module")
def client(served):
    with openai.OpenAI(
        base_url=served.url + "/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def options(served, **more):
    model = served.facts.get("model") or served.facts["models"][0]
    return {"model": model, "messages": [USER], "max_tokens": 5, "seed": 1, **more}


@pytest.fixture
def asked(served):
    return lambda **more: options(served, **more)


def test_the_models(client):
    (model,) = client.models.list().data
    assert model.object == "model" and isinstance(model.created, int)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"n": 2, "logprobs": True, "top_logprobs": 2},
        {"stop": ["a", "e"], "temperature": 0.5, "presence_penalty": 0.5},
        {"tools": TOOLS, "max_tokens": 40, "extra_body": {"regex": CALL}},
        {"response_format": {"type": "json_object"}, "max_tokens": 20},
    ],
)
def test_a_whole_answer_and_its_stream_are_valid_and_equal(client, asked, more):
    whole = client.chat.completions.create(**asked(**more))
    assert whole.object == "chat.completion" and whole.usage.total_tokens > 0
    texts, calls, reasons = {}, {}, {}
    stream = client.chat.completions.create(
        **asked(**more), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
        calls.setdefault(choice.index, []).extend(choice.delta.tool_calls or ())
        reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    for choice in whole.choices:
        assert texts[choice.index] == (choice.message.content or "")
        assert reasons[choice.index] == choice.finish_reason
        given = [call.function.model_dump() for call in choice.message.tool_calls or ()]
        assert [call.function.model_dump() for call in calls[choice.index]] == given
    if "tools" in more:
        (call,) = whole.choices[0].message.tool_calls
        assert json.loads(call.function.arguments) == {"a": 1}
    if "logprobs" in more:
        assert all(choice.logprobs.content[0].bytes for choice in whole.choices)


def test_an_image(client, asked, media):
    content = [
        {"type": "image_url", "image_url": {"url": data_uri(media / "small.png"), "detail": "low"}},
        {"type": "text", "text": "What is this?"},
    ]
    answer = client.chat.completions.create(
        **asked(messages=[{"role": "user", "content": content}])
    )
    assert answer.choices[0].finish_reason in ("stop", "length")


def test_what_a_tool_returned_goes_back(client, asked):
    first = client.chat.completions.create(
        **asked(tools=TOOLS, max_tokens=40, extra_body={"regex": CALL})
    )
    message = first.choices[0].message
    (call,) = message.tool_calls
    turns = [USER, message, {"role": "tool", "tool_call_id": call.id, "content": "15"}]
    assert client.chat.completions.create(**asked(messages=turns, tools=TOOLS)).choices


def test_errors_are_those_that_the_client_knows(client, asked):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(**asked(max_tokens=-1))
    assert error.value.body["type"] == "invalid_request_error" and error.value.body["message"]
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**asked(model="another"))
