import base64
import http.server
import threading

import pytest

from qvl.errors import UserError
from qvl.media import images


def test_a_path_below_the_root_is_loaded_as_rgb(tmp_path):
    from PIL import Image

    (tmp_path / "a").mkdir()
    Image.new("L", (3, 2), 7).save(tmp_path / "a" / "x.png")
    image = images.load("a/x.png", tmp_path)
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (3, 2), (7, 7, 7))


@pytest.mark.parametrize(
    "reference", ["../x.png", "/etc/passwd", "a/../../x", "file:///etc/passwd"]
)
def test_a_path_that_leaves_the_root_is_refused(tmp_path, reference):
    with pytest.raises(UserError, match="leaves the media root"):
        images.read(reference, tmp_path)


def test_a_link_that_leaves_the_root_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("s")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="leaves the media root"):
        images.read("link", tmp_path / "in")


def test_a_missing_file_and_a_broken_one_are_errors_of_the_user(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    for name, why in (("gone.png", "No such file"), ("broken.png", "cannot identify")):
        with pytest.raises(UserError, match=why):
            images.load(name, tmp_path)


def test_a_data_uri_is_read_and_a_wrong_one_refused(tmp_path):
    uri = "data:image/png;base64," + base64.b64encode(b"hello").decode()
    assert images.read(uri, tmp_path) == b"hello"
    for wrong in ("data:image/png;base64,###", "data:image/png,abc"):
        with pytest.raises(UserError):
            images.read(wrong, tmp_path)


def test_remote_images_need_permission_and_a_public_address(tmp_path):
    class Secret(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            raise AssertionError("a private address was requested")

    server = http.server.HTTPServer(("127.0.0.1", 0), Secret)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/x.png"
    with pytest.raises(UserError, match="--allow-remote"):
        images.read(url, tmp_path)
    for private in (url, "http://localhost/x", "http://[::1]/x", "http://169.254.169.254/x"):
        with pytest.raises(UserError, match="private address"):
            images.read(private, tmp_path, allow_remote=True)
    server.shutdown()
