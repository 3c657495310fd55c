"""Requests that are odd, large, slow or another site's: one error for their client, and the engine lives."""

import asyncio
import base64
import gzip
import io
import json
import threading
import time
import urllib.error
import urllib.request

import fuzzed
import pytest
from aiohttp import web
from asking import post, with_image
from PIL import Image

from qvl.engines.serving import http, json_body

USER = {"role": "user", "content": "x"}


def uri(image, kind="PNG"):
    return "data:image/png;base64," + base64.b64encode(fuzzed.saved(image, kind)).decode()


def send(served, body=None, path="/v1/chat/completions", **headers):
    """(status, text) of a request with these headers."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(served.url + path, body, given)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def broken_png():
    content = bytearray(fuzzed.saved(fuzzed.picture("RGB", 400, 400), "PNG"))
    second = content.index(b"IDAT", content.index(b"IDAT") + 4)
    content[second : second + 4] = b"\xc7f\xb31"
    return "data:image/png;base64," + base64.b64encode(bytes(content)).decode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"messages": [{**USER, "content": with_image(uri(Image.new("RGB", (2010, 10))))}]},
            "thinner",
        ),
        ({"messages": [{**USER, "content": with_image("data:image/png;base64,\u00e9")}]}, "base64"),
        ({"messages": [{**USER, "content": with_image("a\0b.png")}]}, "null"),
        ({"messages": [{**USER, "content": with_image(broken_png())}]}, "broken PNG"),
        ({"messages": [{**USER, "content": [{"type": "video", "video": "."}]}]}, "different sizes"),
        ({"tools": [1]}, "tools[0]"),
        ({"tools": [{"function": {}}]}, "tools[0]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"messages": [{**USER, "tool_calls": [1]}]}, "messages[0].tool_calls"),
        ({"messages": [{**USER, "tool_calls": 1}]}, "messages[0].tool_calls"),
        ({"stop": ["a"] * 65}, "stop"),
        ({"stream_options": 1}, "stream_options"),
        ({"messages": [{**USER, "content": "z" * 30_000_000}]}, " characters"),
        (
            {
                "messages": [
                    {**USER, "content": with_image(uri(Image.new("RGB", (640, 640)))) * 300}
                ]
            },
            "context length",
        ),
    ],
)
def test_an_odd_request_is_400_in_openai_s_shape(served, change, words):
    status, answer = post(served, {"messages": [USER], "max_tokens": 1, **change})
    assert status == 400
    assert words in answer["error"]["message"]
    assert answer["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"messages": ' + b"[" * 50_000, {}, 400),
        (b"[" + b"0," * (json_body.MAX_VALUES + 1) + b"0]", {}, 413),
        (gzip.compress(b"{}", mtime=0), {"Content_Encoding": "gzip"}, 415),
        (b"{}", {"Origin": "https://evil.example"}, 403),
        (b"{}", {"Host": "evil.example"}, 403),
        (b"{}", {"Sec_Fetch_Site": "cross-site"}, 403),
        (b"{}", {"Origin": "http://localhost:3000"}, 400),
    ],
)
def test_a_body_or_a_sender_of_another_kind_is_refused(served, body, headers, status):
    for path in ("/v1/chat/completions", "/inference/v1/generate"):
        found, text = send(served, body, path, **headers)
        assert found == status, text
        assert json.loads(text)["error"]["message"]


def test_the_rest_of_the_engine_answers_while_a_large_request_is_read(served):
    """A request of 60 MB, in pieces of text that would take minutes to tokenise."""
    body = json.dumps({"messages": [{**USER, "content": "word " * 12_000_000}]}).encode()
    waits = []
    done = threading.Event()

    def look():
        while not done.is_set():
            started = time.monotonic()
            send(served, path="/health")
            waits.append(time.monotonic() - started)
            time.sleep(0.02)

    looking = threading.Thread(target=look)
    looking.start()
    status, text = send(served, body)
    done.set()
    looking.join()
    assert status == 400 and "context length" in text
    assert sorted(waits)[len(waits) // 2] < 1  # of a busy machine


def test_a_form_whose_text_spells_an_added_token_is_kept(served):
    for pattern, expected in (
        ("<think>ab</think>", "<think>ab</think>"),
        (r"a<\|im_start\|>b", "a<|im_start|>b"),
    ):
        body = {"messages": [USER], "max_tokens": 40, "seed": 5, "regex": pattern}
        status, answer = post(served, body)
        (choice,) = answer["choices"]
        assert (status, choice["message"]["content"], choice["finish_reason"]) == (
            200,
            expected,
            "stop",
        )


def test_the_bytes_of_logprobs_are_those_of_the_text(served):
    body = {
        "messages": [USER],
        "seed": 1,
        "logprobs": True,
        "top_logprobs": 2,
        "regex": "\u65e5\u672c<a>",
    }
    _, answer = post(served, body)
    content = answer["choices"][0]["logprobs"]["content"]
    joined = b"".join(bytes(each["bytes"]) for each in content).decode()
    assert joined.removesuffix("<|im_end|>").removesuffix("<|endoftext|>") == "\u65e5\u672c<a>"
    assert any(each["token"] == "\ufffd" for each in content)
    assert all(top["bytes"] for each in content for top in each["top_logprobs"])


CALL = '<tool_call>\\n\\{"name": "f", "arguments": \\{"a": 1\\}\\}\\n</tool_call>'
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def streamed(served, body):
    status, text = send(served, json.dumps({**body, "stream": True}).encode())
    assert status == 200, text
    events = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert events.pop() == "[DONE]"
    return [json.loads(event) for event in events]


def test_tool_calls_are_parsed_whole_and_streamed(served):
    body = {"messages": [USER], "tools": TOOLS, "regex": f"ok {CALL}", "seed": 1}
    _, answer = post(served, body)
    (choice,) = answer["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert (choice["message"]["content"], choice["finish_reason"]) == ("ok ", "tool_calls")
    deltas = [chunk["choices"][0] for chunk in streamed(served, body)]
    assert "".join(each["delta"].get("content", "") for each in deltas) == "ok "
    (found,) = [each["delta"]["tool_calls"] for each in deltas if "tool_calls" in each["delta"]]
    assert found[0]["index"] == 0 and found[0]["function"] == call["function"]
    assert deltas[-1]["finish_reason"] == "tool_calls"


def test_without_tools_a_tool_call_is_text(served):
    for tools in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        body = {"messages": [USER], "regex": CALL, "seed": 1, **tools}
        _, answer = post(served, body)
        (choice,) = answer["choices"]
        assert choice["message"]["content"].startswith("<tool_call>")
        assert "tool_calls" not in choice["message"] and choice["finish_reason"] == "stop"


def test_a_stream_has_usage_only_if_it_is_wanted(served):
    body = {"messages": [USER], "max_tokens": 3, "seed": 1}
    for options in ({}, {"stream_options": None}, {"stream_options": {"include_usage": False}}):
        chunks = streamed(served, {**body, **options})
        assert all(chunk["choices"] and "usage" not in chunk for chunk in chunks)
    *chunks, last = streamed(served, {**body, "stream_options": {"include_usage": True}})
    assert last["choices"] == [] and last["usage"]["completion_tokens"] == 3
    assert last.keys() == chunks[0].keys() and chunks[0]["usage"] is None


async def _slow(limits, pieces):
    """The answer to bytes that are sent with pauses, by a server with short limits."""

    async def echo(request):
        return web.Response(body=bytes(await http.read_body(request)))

    app = web.Application(middlewares=[http.answered("k")])
    app.router.add_post("/x", echo)
    runner = http.runner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(limits / 4)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await runner.cleanup()
    return answer


@pytest.mark.parametrize("head", [b"", b"POST /x HTTP/1.1\r\nHo"])
def test_a_connection_without_a_request_is_closed(monkeypatch, head):
    monkeypatch.setattr(http, "HEADER_SECONDS", 0.3)
    assert asyncio.run(_slow(0.3, [head])) == b""


def test_a_body_that_does_not_come_is_408(monkeypatch):
    monkeypatch.setattr(http, "BODY_SECONDS", 0.3)
    head = b"POST /x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nContent-Length: 9\r\n"
    head += b"Connection: close\r\n\r\nab"
    assert asyncio.run(_slow(0.3, [head])).startswith(b"HTTP/1.1 408")
    whole = asyncio.run(_slow(0.3, [head, b"c", b"d", b"e", b"f", b"g", b"h", b"i"]))
    assert whole.startswith(b"HTTP/1.1 200") and whole.endswith(b"abcdefghi")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Authorization: Bearer \xff\xfe", 401),
        (b"Authorization: Bearer k\nX: y", 400),
        (b"Authorization: Bearer k\r\nContent-Length: -5", 400),
    ],
)
def test_a_broken_header_is_an_error_that_shows_no_key(capfd, head, status):
    request = b"POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head + b"\r\n\r\n"
    assert asyncio.run(_slow(0.1, [request])).split()[1] == b"%d" % status
    assert "Bearer" not in "".join(capfd.readouterr())


def test_a_bug_is_500_in_openai_s_shape_with_its_traceback_in_the_log(capfd):
    async def answer():
        async def fail(request):
            raise AssertionError("a bug")

        app = web.Application(middlewares=[http.answered(None)])
        app.router.add_get("/x", fail)
        runner = http.runner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = await reader.read()
        await runner.cleanup()
        return text

    head, _, body = asyncio.run(answer()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500")
    assert json.load(io.BytesIO(body))["error"]["type"] == "server_error"
    assert "AssertionError: a bug" in capfd.readouterr().err
