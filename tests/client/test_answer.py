"""Answers of servers in dialects of OpenAI's shape."""

import pytest
from fake_endpoint import FakeEndpoint

from qvl.client import Client
from qvl.client.answer import served_names
from qvl.client.chat import responses

TEXT = {"type": "text", "text": "fine"}
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}  # as Mistral's models


@pytest.mark.parametrize(
    ("content", "thought"),
    [([TEXT], None), ([THOUGHT, TEXT], "hm"), (["fi", {**TEXT, "text": "ne"}], None)],
)
def test_content_in_parts_is_a_text_and_its_thoughts(content, thought):
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": "3", "completion_tokens": "2"}  # as text, which some proxies send
    body = {"choices": [choice], "model": "m", "usage": usage}
    with FakeEndpoint(lambda asked, attempt: (200, {}, body)) as fake, Client([fake.url]) as client:
        (found,) = responses(client.complete([{"role": "user", "content": "hi"}]), {})
    assert (found["content"], found.get("reasoning_content")) == ("fine", thought)
    assert found["num_tokens"] == 2


@pytest.mark.parametrize("models", [None, [], [{}], [{"id": None}], "m"])
def test_a_list_of_models_that_names_none_is_empty(models):
    assert served_names({"data": models}) == []
