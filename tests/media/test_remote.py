"""http(s) addresses: with permission, and of the public internet alone."""

import http.server
import socket
import threading

import pytest

from qvl.media import references, remote
from qvl.media.errors import MediaError


@pytest.fixture
def served():
    """A server of this machine: a function from a path to its URL, and the paths that were requested."""
    seen = []

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            if self.path.startswith("/to/"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/to/"))
                self.end_headers()
            elif self.path == "/gone":
                self.send_error(404)
            else:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"hello")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield lambda path, host="127.0.0.1": f"http://{host}:{server.server_port}{path}", seen
    server.shutdown()


@pytest.fixture
def public(monkeypatch):
    """127.0.0.1 counts as public, and any name resolves to it once, then to 127.0.0.2."""
    asked = []

    def resolve(host, port, **_):
        asked.append(host)
        number = host if host[0].isdigit() else f"127.0.0.{asked.count(host)}"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (number, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(remote, "is_public", lambda address: address == "127.0.0.1")
    return asked


def test_an_address_needs_permission(tmp_path):
    for url in ("http://h/x", "HTTPS://h/x"):
        with pytest.raises(MediaError, match="--allow-remote"):
            references.read(url, tmp_path)


def test_a_private_address_is_never_requested(tmp_path, served):
    at, seen = served
    for url in (
        at("/x.png"),
        at("/x.png", "localhost"),
        "http://[::1]/x",
        "http://169.254.169.254/x",
        "http://0/x",
    ):
        with pytest.raises(MediaError, match="private address"):
            references.read(url, tmp_path, allow_remote=True)
    assert seen == []


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2001::1",
        "2002:7f00:1::",
        "fc00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_addresses_that_are_not_public(address):
    assert not remote.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "2a00:1450:4001::200e"])
def test_addresses_that_are_public(address):
    assert remote.is_public(address)


def test_the_address_that_is_checked_is_the_address_used(served, public):
    at, seen = served
    assert remote.fetch(at("/x?a=b c", "name"), "image x") == b"hello"
    assert (seen, public) == (["/x?a=b%20c"], ["name"])
    with pytest.raises(MediaError, match="name is a private address"):  # as it resolves now
        remote.fetch(at("/x", "name"), "image x")


def test_redirects_obey_the_same_rule(served, public):
    at, seen = served
    assert remote.fetch(at(f"/to/{at('/x')}"), "image x") == b"hello"
    for place in ("http://10.0.0.1/x", "ftp://127.0.0.1/x", "file:///etc/passwd"):
        with pytest.raises(MediaError, match="image x: "):
            remote.fetch(at(f"/to/{place}"), "image x")
    with pytest.raises(MediaError, match="HTTP 404"):
        remote.fetch(at("/gone"), "image x")
    assert "/etc/passwd" not in seen


def test_the_environment_names_no_proxy(served, public, monkeypatch):
    at, _ = served
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert remote.fetch(at("/x"), "image x") == b"hello"


@pytest.mark.parametrize(
    "url",
    ["http://[::1", "http:///x", "http://a b/x", "http://h:port/x", "http://\u00e9\u0301..x/"],
)
def test_an_odd_address_is_one_line(tmp_path, url):
    with pytest.raises(MediaError, match="image http") as error:
        references.read(url, tmp_path, allow_remote=True)
    assert "\n" not in str(error.value)


def test_a_large_or_slow_answer_is_not_waited_for(served, public, monkeypatch):
    at, _ = served
    monkeypatch.setattr(remote, "MAX_BYTES", 3)
    with pytest.raises(MediaError, match="larger than"):
        remote.fetch(at("/x"), "image x")
    monkeypatch.setattr(remote, "TIMEOUT_SECONDS", -1.0)
    monkeypatch.setattr(remote, "_opener", lambda: Dripping())
    with pytest.raises(MediaError, match="no answer within"):
        remote.fetch(at("/x"), "image x")


class Dripping:
    """An opener whose response never ends."""

    def open(self, *_, **__):
        return self

    def read(self, _):
        return b"."

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass
