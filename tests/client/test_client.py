"""The client against real HTTP servers that are slow, busy, broken or gone."""

import base64
import io
import itertools
import random
import socket
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import fuzzed
import numpy as np
import pytest
from fake_endpoint import FakeEndpoint, completion, question
from PIL import Image

from qvl.client import Client, Request
from qvl.client.chat import responses, to_openai
from qvl.client.endpoint import parse
from qvl.client.retries import Refused, backoff
from qvl.errors import EndpointError, UserError
from qvl.media import images

QUICK: Any = {"first_backoff_seconds": 0.01}


def ask(text):
    return [{"role": "user", "content": text}]


def request(item):
    return Request(ask(str(item)))


def text_of(answer):
    return answer["choices"][0]["message"]["content"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def echo(body, attempt):
    return completion(question(body))


def echo_x(body, attempt):
    return completion("x")


def test_answers_come_in_input_order_and_the_concurrency_is_bounded():
    chance = random.Random(0)

    def answer(body, attempt):
        time.sleep(chance.random() * 0.05)
        return completion(question(body))

    with FakeEndpoint(answer) as fake, Client([fake.url], concurrency=8) as client:
        found = [(item, text_of(answer)) for item, answer in client.map(range(60), request)]
    assert found == [(item, str(item)) for item in range(60)]
    assert 4 <= fake.most_at_once <= 8


def test_an_endless_input_is_read_only_as_far_ahead_as_the_window():
    read = itertools.count()
    with FakeEndpoint(echo) as fake, Client([fake.url], concurrency=4) as client:
        answers = client.map(read, request)
        assert [item for item, _ in itertools.islice(answers, 10)] == list(range(10))
        answers.close()
    assert next(read) <= 10 + 4 * 4 + 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_passing_failure_is_retried(status):
    def answer(body, attempt):
        return completion("well") if attempt > 2 else (status, {}, {"error": {"message": "later"}})

    with FakeEndpoint(answer) as fake, Client([fake.url], **QUICK) as client:
        assert text_of(client.complete(ask("how are you"))) == "well"
    assert len(fake.requests) == 3


@pytest.mark.parametrize(
    "broken",
    [
        None,
        (200, {}, b"<html>"),
        (200, {}, {"choices": []}),
        (200, {}, {"choices": [{"message": {"content": ""}, "finish_reason": "abort"}]}),
    ],
    ids=["connection dropped", "not JSON", "no choices", "aborted"],
)
def test_an_answer_that_is_none_is_retried_and_then_an_endpoint_error(broken):
    with (
        FakeEndpoint(lambda body, attempt: broken) as fake,
        Client([fake.url], "fake", retries=2, **QUICK) as client,
        pytest.raises(EndpointError, match="no answer after 3 attempts") as error,
    ):
        client.complete(ask("x"))
    assert fake.url in str(error.value)
    assert len(fake.requests) == 3


def test_retry_after_is_respected():
    def answer(body, attempt):
        busy = (429, {"Retry-After": "0.4"}, {"error": {"message": "busy"}})
        return busy if attempt == 1 else completion("yes")

    with FakeEndpoint(answer) as fake, Client([fake.url], **QUICK) as client:
        client.complete(ask("x"))
    assert fake.times[1] - fake.times[0] >= 0.4


def test_a_refused_request_is_not_retried_and_spoils_no_other():
    def answer(body, attempt):
        if question(body) == "2":
            return 400, {}, {"error": {"message": "two is\ntoo much"}}
        return completion(question(body))

    with FakeEndpoint(answer) as fake, Client([fake.url], **QUICK) as client:
        found = dict(client.map(range(4), request))
    assert isinstance(found[2], Refused)
    assert "two is too much" in str(found[2])
    assert [text_of(found[i]) for i in (0, 1, 3)] == ["0", "1", "3"]
    assert len(fake.requests) == 4


def test_backoff_doubles_with_jitter_and_is_bounded():
    for attempt in range(12):
        waits = [backoff(attempt, 0.5) for _ in range(50)]
        whole = min(0.5 * 2**attempt, 30)
        assert whole / 2 <= min(waits) < max(waits) <= whole


def test_a_dead_endpoint_is_set_aside_for_one_that_lives():
    dead = f"http://127.0.0.1:{free_port()}"
    with FakeEndpoint(echo) as fake:
        urls = [dead, fake.url]
        with Client(urls, "fake", concurrency=4, first_backoff_seconds=30) as client:
            started = time.monotonic()
            found = [text_of(answer) for _, answer in client.map(range(40), request)]
            assert time.monotonic() - started < 15  # no request waited: half of a backoff is 15
    assert found == [str(i) for i in range(40)]


def test_several_endpoints_share_the_load():
    def slow(body, attempt):
        time.sleep(0.01)
        return completion("x")

    with FakeEndpoint(slow) as one, FakeEndpoint(slow) as two:
        with Client([one.url, two.url + "/v1/"], concurrency=4) as client:
            assert len(list(client.map(range(40), request))) == 40
        assert min(len(one.requests), len(two.requests)) >= 12


def test_requests_of_a_session_go_to_one_of_several_endpoints():
    with (
        FakeEndpoint(echo) as one,
        FakeEndpoint(echo) as other,
        Client([one.url, other.url], "fake", concurrency=4) as client,
    ):
        asked = [
            client.post("/v1/chat/completions", {"messages": ask(f"{n}")}, session=f"s{n % 3}")
            for n in range(30)
        ]
        assert all(each.result() for each in asked)
    seen = [{head["X-Session-Id"] for head, _ in fake.requests} for fake in (one, other)]
    assert seen[0] and seen[1] and not seen[0] & seen[1]


def test_a_slow_answer_times_out():
    def answer(body, attempt):
        time.sleep(0.5)
        return completion("late")

    with (
        FakeEndpoint(answer) as fake,
        Client([fake.url], "fake", retries=0, timeout_seconds=0.1) as client,
        pytest.raises(EndpointError, match="no answer within"),
    ):
        client.complete(ask("x"))


def test_the_key_is_sent_and_never_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("QVL_API_KEY", "sk-secret-1")

    def answer(body, attempt):
        return 401, {}, {"error": {"message": "Incorrect API key: sk-secret-1"}}

    with (
        FakeEndpoint(answer) as fake,
        Client([fake.url], "fake", **QUICK) as client,
        pytest.raises(UserError, match="QVL_API_KEY") as error,
    ):
        client.complete(ask("x"))
    assert "sk-" not in str(error.value)
    assert [headers["Authorization"] for headers, _ in fake.requests] == ["Bearer sk-secret-1"]


def test_an_image_goes_as_a_data_uri_typed_by_its_bytes(tmp_path):
    png = b"\x89PNG\r\n\x1a\nrest"
    (tmp_path / "photo.jpg").write_bytes(png)
    parts = [{"type": "image", "image": "photo.jpg"}, {"type": "text", "text": "What?"}]
    messages = [{"role": "user", "content": parts}]
    with FakeEndpoint(echo_x) as fake, Client([fake.url], root=tmp_path) as client:
        client.complete(messages, temperature=0.0, top_p=None)
    _, body = fake.requests[0]
    sent = body["messages"][0]["content"]
    uri = "data:image/png;base64," + base64.b64encode(png).decode()
    assert sent == [{"type": "image_url", "image_url": {"url": uri}}, parts[1]]
    assert body["temperature"] == 0.0
    assert "top_p" not in body
    assert parts[0] == {"type": "image", "image": "photo.jpg"}


def test_a_video_goes_as_a_file_or_as_its_frames(tmp_path):
    (tmp_path / "clip").mkdir()
    for name in ("b.png", "a.png"):
        (tmp_path / "clip" / name).write_bytes(b"\x89PNG\r\n\x1a\n" + name.encode())
    (tmp_path / "x.mp4").write_bytes(b"\0\0\0 ftypisom")
    frames = [
        base64.b64encode(b"\x89PNG\r\n\x1a\n" + each).decode() for each in (b"a.png", b"b.png")
    ]
    for reference, uri in (
        ("x.mp4", "data:video/mp4;base64,AAAAIGZ0eXBpc29t"),
        ("clip", "data:video/jpeg;base64," + ",".join(frames)),
        (["clip/b.png", "clip/a.png"], "data:video/jpeg;base64," + ",".join(frames[::-1])),
        (["clip/a.png"], "data:video/jpeg;base64," + ",".join(frames[:1] * 2)),
    ):
        parts = [{"type": "video", "video": reference}]
        (message,) = to_openai([{"role": "user", "content": parts}], tmp_path)
        assert message["content"] == [{"type": "video_url", "video_url": {"url": uri}}]


@pytest.mark.parametrize("reference", ["../out.png", "absent.png", "http://127.0.0.1/x.png", "t"])
def test_an_image_that_cannot_be_sent_is_the_request_s_fault(tmp_path, reference):
    (tmp_path / "t").write_text("text")
    messages = [{"role": "user", "content": [{"type": "image", "image": reference}]}]
    with (
        FakeEndpoint(echo) as fake,
        Client([fake.url], root=tmp_path) as client,
        pytest.raises(Refused),
    ):
        client.complete(messages)
    assert fake.requests == []


def test_leaving_the_client_releases_who_waits():
    hold = threading.Event()

    def answer(body, attempt):
        hold.wait(10)
        return completion("late")

    with FakeEndpoint(answer) as fake:
        client = Client([fake.url], "fake")
        outcome = []

        def wait():
            try:
                client.complete(ask("x"))
            except CancelledError:
                outcome.append("released")

        with client:
            thread = threading.Thread(target=wait)
            thread.start()
            time.sleep(0.2)
        thread.join(5)
        hold.set()
    assert outcome == ["released"]
    with pytest.raises(CancelledError):
        client.complete(ask("x"))


def test_an_address_is_checked_and_holds_no_credentials():
    assert parse("http://h:1/v1/").url == parse("http://h:1").url == "http://h:1/v1"
    for bad in ("127.0.0.1:80", "ftp://h", "http://me:secret@h"):
        with pytest.raises(UserError) as error:
            parse(bad)
        assert "secret" not in str(error.value)


def test_thinking_is_split_from_the_answer():
    choice = {"message": {"content": "<think>\nhm\n</think>\n\n4"}, "finish_reason": "stop"}
    (found,) = responses({"choices": [choice], "model": "m"}, {})
    assert (found["reasoning_content"], found["content"]) == ("hm", "4")


def test_without_an_endpoint_the_error_says_what_to_do():
    with pytest.raises(UserError, match="--endpoint URL"):
        Client([])


def test_the_library_is_imported_without_aiohttp():
    import subprocess
    import sys

    code = "import sys, qvl.client; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent).returncode == 0


def test_a_connection_that_has_been_idle_is_not_used_again(monkeypatch):
    """Its other end may be closing it, and an order is sent only once."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

    def serve_one_request_a_connection(listener):
        for _ in range(2):
            connection, _ = listener.accept()
            threading.Thread(target=answer_once, args=(connection,), daemon=True).start()

    def answer_once(connection):
        with connection:
            connection.recv(1 << 16)
            connection.sendall(answer)
            connection.recv(1 << 16)  # a second request is never answered

    monkeypatch.setattr("qvl.client.client.IDLE_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve_one_request_a_connection, args=(listener,))
        serving.start()
        with Client([f"http://127.0.0.1:{listener.getsockname()[1]}"], "m") as client:
            for _ in range(2):
                assert client.post("/pause", {}, once=True).result(timeout=10) == {}
                time.sleep(0.2)
        serving.join()


def test_every_engine_is_sent_the_pixels_that_qvl_sees(tmp_path):
    """vLLM and SGLang ignore EXIF, and some transparent modes they put on black."""
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "turned.jpg": fuzzed.saved(fuzzed.picture("RGB"), "JPEG", exif=exif),
        "clear.png": fuzzed.saved(fuzzed.picture("RGBA"), "PNG"),
        "grey.png": fuzzed.saved(fuzzed.picture("LA"), "PNG"),
        "plain.jpg": fuzzed.saved(fuzzed.picture("RGB"), "JPEG"),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        wrapped = base64.encodebytes(content).decode()
        for reference in (name, f"data:image/x;base64,{wrapped}"):
            parts = [{"type": "image", "image": reference}]
            (message,) = to_openai([{"role": "user", "content": parts}], tmp_path)
            head, _, body = message["content"][0]["image_url"]["url"].partition(",")
            sent = base64.b64decode(body, validate=True)
            with Image.open(io.BytesIO(sent)) as image:
                assert not image.has_transparency_data
                assert (np.asarray(image) == np.asarray(images.decode(content, name))).all()
            assert (sent == content) == (name == "plain.jpg")
            assert head == f"data:image/{'jpeg' if name == 'plain.jpg' else 'png'};base64"
