"""The local engine's chat route: streams, errors in OpenAI's shape, and clients that disconnect."""

import asyncio
import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from asking import ask, post, text, with_image, with_video


def test_a_stream_has_the_content_of_a_whole_response(served):
    sampling = {"temperature": 1.0, "seed": 11, "max_tokens": 40, "stop": "zz"}
    whole = ask(served, "s", **sampling)
    messages = [{"role": "user", "content": "s"}]
    usage = {"stream_options": {"include_usage": True}}
    body = json.dumps({"messages": messages, "stream": True, **sampling, **usage}).encode()
    with urllib.request.urlopen(served.url + "/v1/chat/completions", body) as answer:
        events = [line[6:] for line in answer.read().decode().splitlines() if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert chunks[-1]["usage"] == whole["usage"]
    assert [chunk.keys() for chunk in chunks] == [chunks[0].keys()] * len(chunks)
    choices = [chunk["choices"][0] for chunk in chunks[:-1]]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == text(whole)
    assert choices[-1]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert len(choices) > 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}, 3]}, "messages[1]"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10_000}, "context length is"),
        ({"n": 1000}, "n:"),
        ({"stop": [""]}, "stop"),
        ({"top_logprobs": 3}, "logprobs: true"),
        ({"temprature": 1}, "temprature"),
        ({"messages": [{"role": "user", "content": "x " * 20_000}]}, "context length"),
        ({"messages": [{"role": "user", "content": "<|image_pad|>"}]}, "image_pad"),
        ({"messages": [{"role": "user", "content": with_image("../x.png")}]}, "leaves"),
        ({"messages": [{"role": "user", "content": with_image("absent.png")}]}, "absent.png"),
        ({"messages": [{"role": "user", "content": with_image("http://h/x.png")}]}, "remote"),
        ({"messages": [{"role": "user", "content": with_image("data:;base64,AA==")}]}, "image"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}, "video_url"),
        ({"messages": [{"role": "user", "content": with_video(["x.png", "../y.png"])}]}, "x.png"),
        ({"messages": [{"role": "user", "content": with_video("data:;base64,AA==")}]}, "video"),
        ({"messages": [{"role": "user", "content": "<|video_pad|>"}]}, "video_pad"),
        ({"regex": "(a"}, "unclosed group"),
        ({"regex": "a", "structured_outputs": {"regex": "b"}}, "only one of them"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"structured_outputs": {"json": {"type": "nosuch"}}}, "nosuch"),
    ],
)
def test_a_bad_request_is_an_error_that_says_what_is_wrong(served, change, words):
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1, **change}
    status, answer = post(served, body)
    assert status == 400
    assert words in answer["error"]["message"]
    assert answer["error"]["type"] == "invalid_request_error"


def test_other_models_paths_and_bodies_are_refused_in_openai_s_shape(served):
    status, answer = post(served, {"model": "gpt", "messages": [{"role": "user", "content": "x"}]})
    assert status == 404
    assert "'twin'" in answer["error"]["message"]
    assert post(served, {}, "/v1/nothing")[0] == 404
    assert "not JSON" in post(served, b"{")[1]["error"]["message"]


def test_a_client_that_disconnects_frees_the_engine(served):
    """The rows of a client that disconnects are dropped, and the server goes on."""

    async def disconnect():
        host, port = served.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        messages = [{"role": "user", "content": "x"}]
        body = json.dumps({"messages": messages, "n": 64, "max_tokens": 1900}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        await asyncio.sleep(0.3)
        writer.close()

    asyncio.run(disconnect())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: ask(served, str(i), max_tokens=4), range(8)))
    assert len(answers) == 8
