"""Odd requests to the local engine's routes, and what holds of its answers."""

import base64
import http.client
import itertools
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import fuzzed

CHAT, TOKENS = "/v1/chat/completions", "/inference/v1/generate"
POSTS = ("/pause", "/resume", "/sleep", "/wake_up", "/collective_rpc", "/update_weights_from_disk")
GETS = ("/health", "/v1/models", "/weight_info", "/version", "/openapi.json")
HEADERS = (
    ("Content-Type", "text/plain"),
    ("Content-Encoding", "br"),
    ("Host", "evil.example"),
    ("Origin", "null"),
    ("Origin", "http://[::1"),
    ("Authorization", "Bearer \u00ff"),
    ("Accept", "\u00e9"),
    ("X", "y" * 7000),
)
SECONDS = 60.0  # of one answer, at most


def uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64," + base64.b64encode(content).decode()


def sound() -> list[tuple[str, Any]]:
    """(path, body) of requests that the engine answers with 200."""
    image = {
        "type": "image_url",
        "image_url": {"url": uri(fuzzed.saved(fuzzed.picture("RGB"), "PNG"))},
    }
    video = {"type": "video_url", "video_url": {"url": uri(fuzzed.video_files()[0], "video/mp4")}}
    text = {"type": "text", "text": "What is this?"}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}
    user, system = {"role": "user", "content": "7 + 8?"}, {"role": "system", "content": "Be brief."}
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": True}}
    chats: list[dict] = [
        {"messages": [system, user], "temperature": 0.7, "top_p": 0.9, "seed": 3},
        {
            "messages": [{"role": "user", "content": [image, text]}],
            "logprobs": True,
            "top_logprobs": 2,
        },
        {"messages": [{"role": "user", "content": [video, text]}], "n": 2, "stop": ["a", "b"]},
        {"messages": [user], "stream": True, "stream_options": {"include_usage": True}},
        {"messages": [user], "tools": [tool], "tool_choice": "auto", "stream": True},
        {
            "messages": [
                user,
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "15"},
            ],
            "tools": [tool],
        },
        {"messages": [user], "response_format": form},
        {"messages": [user], "structured_outputs": {"regex": "[ab]{1,3}"}},
        {"messages": [user], "regex": "(yes|no)", "presence_penalty": 1, "frequency_penalty": -1},
    ]
    sampling = {"max_tokens": 3, "temperature": 1.0, "top_p": 0.9, "top_k": 5, "logprobs": 2}
    return [
        *((CHAT, {"max_tokens": 3, **chat}) for chat in chats),
        (TOKENS, {"token_ids": [1, 2, 3], "sampling_params": {**sampling, "seed": 1}}),
        (
            TOKENS,
            {
                "token_ids": [5, 6],
                "content_parts": None,
                "sampling_params": {"max_tokens": 0, "prompt_logprobs": 2},
                "return_token_ids": True,
            },
        ),
        (
            "/update_weights_from_disk",
            {"model_path": "/nonexistent", "weight_version": "2", "load_format": "auto"},
        ),
    ]


def requests(choose: random.Random) -> Iterator[tuple[str, str, bytes | None, dict[str, str]]]:
    """(method, path, body, headers) of odd requests, without an end."""
    known = sound()
    while True:
        headers = dict([choose.choice(HEADERS)]) if choose.random() < 0.05 else {}
        if (kind := choose.random()) < 0.9:
            path, body = choose.choice(known)
            yield "POST", path, _with_odd_media(fuzzed.encoded(body, choose), choose), headers
        elif kind < 0.95:
            path = choose.choice(POSTS)
            query = choose.choice(("", "?mode=abort", "?mode=x", "?mode=%00&mode=wait", "?%ff=%fe"))
            body = fuzzed.encoded(choose.choice(known)[1], choose)
            yield "POST", path + query, body, headers
            # Else every request that follows would wait.
            yield "POST", "/wake_up", b"{}", {}
        else:
            path = choose.choice((*GETS, CHAT, "/", "//", "/v1/../health", "/%00", "/%ff?a=%fe"))
            method = choose.choice(("GET", "GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
            yield method, path, None, headers


def _with_odd_media(body: bytes, choose: random.Random) -> bytes:
    """The body, in which a file may be another that is broken."""
    if choose.random() < 0.7:
        return body
    for kind, files in (("image/png", fuzzed.image_files), ("video/mp4", fuzzed.video_files)):
        head, mark, rest = body.partition(f"data:{kind};base64,".encode())
        if mark and b'"' in rest:
            broken = base64.b64encode(fuzzed.mutated(choose.choice(files()), choose))
            body = head + mark + broken + b'"' + rest.partition(b'"')[2]
    return body


def answers(url: str, count: int, seed: int, threads: int = 4) -> Counter[int]:
    """How often each status answered `count` odd requests. AssertionError for an answer that is none."""
    source = itertools.islice(requests(random.Random(seed)), count)
    lock, statuses, failures = threading.Lock(), Counter[int](), []
    address = url.removeprefix("http://")

    def work() -> None:
        connection = http.client.HTTPConnection(address, timeout=SECONDS)
        while not failures:
            with lock:
                request = next(source, None)
            if request is None:
                return
            try:
                statuses[_status(connection, *request)] += 1
            except Exception as error:  # noqa: BLE001 - shown with its request, below
                failures.append(f"{type(error).__name__} {error} of {str(request)[:2000]}")

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert not failures, failures[0]
    return statuses


def _status(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
) -> int:
    connection.request(method, path, body, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status < 500, (answer.status, text)
    if answer.status >= 400 and method != "HEAD" and answer.getheader("Content-Length") != "0":
        error = json.loads(text)["error"]
        assert error.keys() == {"message", "type", "param", "code"} and error["message"], text
    elif answer.getheader("Content-Type", "").startswith("text/event-stream"):
        assert text.endswith(b"data: [DONE]\n\n"), text[-500:]
    return answer.status
