"""`qvl view` over HTTP: who is answered, and with what."""

import base64
import http.client
import json
import signal
from urllib.parse import urlsplit

import pytest
import viewing


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("view")
    with viewing.Viewing(viewing.write(folder, [1, 2])) as running:
        yield running.url


def get(url: str, path: str, **headers: str) -> http.client.HTTPResponse:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request(
        "GET", path, headers={name.replace("_", "-"): v for name, v in headers.items()}
    )
    return connection.getresponse()


def ask(url: str, name: str) -> dict:
    response = get(url, f"{urlsplit(url).path}api/{name}")
    assert response.status == 200, response.read()
    return json.loads(response.read())


def test_the_address_with_its_token_is_the_page_under_a_strict_policy(url):
    response = get(url, urlsplit(url).path)
    policy = response.headers["Content-Security-Policy"]
    assert (response.status, response.headers["X-Content-Type-Options"]) == (200, "nosniff")
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert response.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {}),
        ("/wrong/", {}),
        ("/wrong/api/state", {}),
        ("/api/state", {}),
        ("TOKEN/api/state", {"Host": "evil.example"}),
        ("TOKEN/api/state", {"Origin": "https://evil.example"}),
        ("TOKEN/api/state", {"Sec_Fetch_Site": "cross-site"}),
    ],
)
def test_others_get_nothing(url, path, headers):
    response = get(url, path.replace("TOKEN", urlsplit(url).path.rstrip("/")), **headers)
    assert response.status in (403, 404)
    body = response.read()
    assert b"stream.jsonl" not in body
    assert b"qvl view printed" in body or b"another site" in body or response.status == 404


def test_wrong_parameters_are_errors_in_one_line(url):
    path = urlsplit(url).path
    for query, status, words in (
        ("rows?stream=x", 400, "stream: expected a whole number"),
        ("rows?stream=7&first=0&count=1", 404, "no stream 7"),
        ("record?stream=0&n=99999", 404, "no record 99999"),
        ("rows?stream=0&first=0&count=9&where=task%20%3D", 400, "column"),
        ("segments?stream=0&n=0", 404, "no packed line"),
        ("image?stream=0&n=0&medium=9", 404, "no image 9"),
    ):
        response = get(url, f"{path}api/{query}")
        assert response.status == status
        assert words in json.loads(response.read())["error"]["message"]


def test_an_image_is_encoded_anew_and_no_other_file_is_sent(url):
    path = urlsplit(url).path
    good = get(url, f"{path}api/image?stream=0&n=0&medium=0")
    assert (good.status, good.headers["Content-Type"]) == (200, "image/png")
    assert good.read().startswith(b"\x89PNG")
    hostile = next(
        row["n"]
        for row in ask(url, "rows?stream=0&first=0&count=9")["rows"]
        if row["id"].startswith("<script>")
    )
    reasons = [
        "cannot identify",
        "cannot identify",
        "60,000|pixels",
        "leaves the media root",
        "No such",
    ]
    for medium, reason in enumerate(reasons):
        response = get(url, f"{path}api/image?stream=0&n={hostile}&medium={medium}")
        message = json.loads(response.read())["error"]["message"]
        assert response.status == 404
        assert any(part in message for part in reason.split("|")), message


def test_long_texts_are_cut_before_they_are_sent(url):
    response = get(url, f"{urlsplit(url).path}api/record?stream=0&n=4")
    assert len(response.read()) < 1_000_000


def test_a_signal_ends_the_server_as_every_command(tmp_path):
    with viewing.Viewing(viewing.write(tmp_path, [1])) as running:
        ask(running.url, "state")
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(30) == 130


def test_videos_are_shown_as_frames(tmp_path):
    frames = []
    for number in range(4):
        viewing.picture(tmp_path / "frames" / f"{number}.png", (600, 400))
        frames.append(f"frames/{number}.png")
    record = {"id": "v", "messages": [viewing.user({"type": "video", "video": frames})]}
    (tmp_path / "in.jsonl").write_text(json.dumps(record))
    with viewing.Viewing(tmp_path / "in.jsonl") as running:
        found = ask(running.url, "frames?stream=0&n=0&medium=0")
    assert found["seconds"] == [0, 0.5, 1, 1.5]
    assert found["size"] == [600, 400]
    assert base64.b64decode(found["frames"][0].partition(",")[2]).startswith(b"\xff\xd8")


def test_a_missing_file_is_an_error_before_anything_starts(sh):
    done = sh("qvl view nowhere.jsonl")
    assert (done.returncode, done.stderr) == (2, "qvl: error: nowhere.jsonl: no such file\n")
