"""The guard in front of vLLM and SGLang, without them: who is answered, and what they may read."""

import asyncio
import base64
import importlib
import io
import json
import sys

import fuzzed
import pytest
from PIL import Image

from qvl.engines.serving.environments import INJECT


@pytest.fixture
def guard(monkeypatch):
    monkeypatch.syspath_prepend(str(INJECT))
    yield importlib.import_module("qvl_engine_guard")
    for name in ("qvl_engine_guard", "qvl_engine_media"):
        sys.modules.pop(name, None)


def ask(guard, body=b"", *, method="POST", path="/v1/chat/completions", headers=(), pieces=1):
    """(status, what the engine got or the error's message) of one request to the guard."""
    got: list[bytes] = []
    sent: list[dict] = []

    async def engine(scope, receive, send):
        message = await receive()
        assert dict(scope["headers"])[b"content-length"] == b"%d" % len(message["body"])
        got.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    size = -(-len(body) // pieces) or 1
    waiting = [
        {
            "type": "http.request",
            "body": body[i * size : (i + 1) * size],
            "more_body": i + 1 < pieces,
        }
        for i in range(pieces)
    ]

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    given = [(b"content-length", b"%d" % len(body)), *headers]
    client = ("127.0.0.1", 5)
    scope = {"type": "http", "method": method, "path": path, "headers": given, "client": client}
    asyncio.run(guard.AccessGuard(engine)(scope, receive, send))
    status = sent[0]["status"]
    if status == 200:
        return status, got[0]
    return status, json.loads(sent[1]["body"])["error"]["message"]


def chat(*parts):
    return json.dumps({"messages": [{"role": "user", "content": list(parts)}]}).encode()


def image(reference):
    return {"type": "image_url", "image_url": {"url": reference}}


@pytest.mark.parametrize(
    "body",
    [
        chat(image("http://127.0.0.1:8000/x.png")),
        chat(image("https://example.com/x.png")),
        chat(image("file:///etc/passwd")),
        chat(image("/etc/passwd")),
        chat({"type": "image_url", "image_url": "http://127.0.0.1/x"}),
        chat({"type": "video_url", "video_url": {"url": "http://127.0.0.1/x.mp4"}}),
        chat({"type": "audio_url", "audio_url": {"url": "/etc/passwd"}}),
        json.dumps({"text": "x", "image_data": "/etc/passwd"}).encode(),
        json.dumps({"text": "x", "image_data": [["http://127.0.0.1/x"]]}).encode(),
        json.dumps(
            {"token_ids": [1], "content_parts": [{"type": "image_url", "url": "/x"}]}
        ).encode(),
        chat(image("http://127.0.0.1/x")).replace(b"image_url", rb"\u0069mage\u005furl"),
        chat(image("data:image/png;base64,###")),
    ],
)
def test_an_engine_is_never_asked_to_read_a_file_or_an_address(guard, body):
    for pieces in (1, 3):
        status, message = ask(guard, body, pieces=pieces)
        assert status == 400 and any(kind in str(message) for kind in ("image", "video")), message


def test_a_file_below_the_media_root_arrives_as_its_content(guard, monkeypatch, tmp_path):
    (tmp_path / "a.png").write_bytes(fuzzed.saved(fuzzed.picture("RGB"), "PNG"))
    monkeypatch.setenv("QVL_MEDIA_ROOT", str(tmp_path))
    for reference in ("a.png", f"file://{tmp_path}/a.png"):
        status, body = ask(guard, chat(image(reference)))
        uri = json.loads(body)["messages"][0]["content"][0]["image_url"]["url"]
        content = base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
        assert (status, uri) == (200, f"data:image/png;base64,{content}")
    for reference in ("../a.png", "/etc/passwd", "gone.png", "http://127.0.0.1/a.png"):
        assert ask(guard, chat(image(reference)))[0] == 400


def test_a_transparent_image_is_on_white_for_every_engine(guard):
    clear = fuzzed.saved(Image.new("RGBA", (40, 40), (0, 0, 0, 0)), "PNG")
    uri = "data:image/png;base64," + base64.encodebytes(clear).decode()
    for body, where in (
        (chat(image(uri)), lambda sent: sent["messages"][0]["content"][0]["image_url"]["url"]),
        (
            json.dumps({"image_data": [base64.b64encode(clear).decode()]}).encode(),
            lambda sent: sent["image_data"][0],
        ),
    ):
        status, sent = ask(guard, body)
        assert status == 200
        content = base64.b64decode(where(json.loads(sent)).partition(",")[2], validate=True)
        assert Image.open(io.BytesIO(content)).convert("RGB").getcolors() == [(1600, (255,) * 3)]


def test_what_is_no_medium_is_left_alone(guard):
    body = {
        "messages": [
            {"role": "user", "content": "see http://127.0.0.1/x and image.png"},
            {"role": "assistant", "tool_calls": [{"function": {"arguments": {"url": "/x"}}}]},
        ],
        "tools": [{"function": {"name": "f", "parameters": {"default": {"image": "/x"}}}}],
        "metadata": {"url": "http://h"},
    }
    status, sent = ask(guard, json.dumps(body).encode())
    assert (status, json.loads(sent)) == (200, body)
    assert ask(guard, b"no json, no media") == (200, b"no json, no media")
    assert ask(guard, b'{"image": ')[0] == 400
    assert ask(guard, b'{"image": ' + b"[" * 100_000)[0] == 400
    assert ask(guard, b"{}", headers=[(b"content-encoding", b"gzip")])[0] == 415


@pytest.mark.parametrize(
    "headers",
    [
        [(b"origin", b"https://evil.example")],
        [(b"origin", b"http://203.0.113.5:8000")],
        [(b"origin", b"null")],
        [(b"origin", b"http://[::1")],
        [(b"host", b"evil.example:8000")],
        [(b"host", b"0.0.0.0:8000")],
        [(b"sec-fetch-site", b"cross-site")],
    ],
)
def test_a_web_page_of_another_site_needs_the_key(guard, monkeypatch, headers):
    for method, path in (("POST", "/pause"), ("OPTIONS", "/pause"), ("GET", "/v1/models")):
        assert ask(guard, method=method, path=path, headers=headers)[0] == 403
    monkeypatch.setenv("QVL_ENGINE_KEY", "k")
    key = [(b"authorization", b"Bearer k")]
    assert ask(guard, b"{}", path="/pause", headers=[*headers, *key])[0] == 200


@pytest.mark.parametrize(
    "host", [b"localhost:1", b"127.0.0.1:8000", b"[::1]:8000", b"app.localhost"]
)
def test_this_machine_needs_no_key(guard, host):
    origin = (b"origin", b"http://" + host)
    assert ask(guard, b"{}", headers=[(b"host", host), origin])[0] == 200


def test_the_frames_of_a_video_reach_the_engine_as_they_are(guard):
    """On a route for tokens a part has "url" alone; the frames are joined by commas."""
    frames = "data:video/jpeg;base64,iVBORw0KGgo=,iVBORw0KGgo="
    part = {"type": "video_url", "url": frames}
    body = json.dumps({"token_ids": [1], "content_parts": [part]}).encode()
    status, got = ask(guard, body)
    assert status == 200 and frames.encode() in got
