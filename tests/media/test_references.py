"""Paths, data: URIs and addresses: what is read, and what is refused in one line."""

import base64
import os
import tracemalloc

import pytest

from qvl.media import references, video
from qvl.media.errors import BrokenMedia, MediaError

CONTENT = bytes(range(256)) + b"\xfb\xff\xfe" * 3  # its base64 has "+" and "/", and padding
BASE64 = base64.b64encode(CONTENT).decode()


@pytest.mark.parametrize(
    "reference", ["../x.png", "/etc/passwd", "a/../../x", "file:///etc/passwd", "file:../x"]
)
def test_a_path_that_leaves_the_root_is_refused(tmp_path, reference):
    with pytest.raises(MediaError, match="leaves the media root"):
        references.read(reference, tmp_path)


def test_a_link_that_leaves_the_root_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("s")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(MediaError, match="leaves the media root"):
        references.read("link", tmp_path / "in")


def test_a_file_uri_is_a_path(tmp_path):
    (tmp_path / "x").write_bytes(b"hello")
    for reference in (
        "x",
        f"{tmp_path}/x",
        f"file://{tmp_path}/x",
        f"FILE://localhost{tmp_path}/x",
    ):
        assert references.read(reference, tmp_path) == b"hello"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("gone.png", "No such file"),
        ("folder", "Is a directory"),
        ("fifo", "Not a regular file"),
        ("loop", "symbolic links"),
        ("a\0b.png", "null"),
        ("a\ud800b.png", "surrogates"),
        ("x" * 5000, "name too long"),
        ("http:x", "No such file"),
        ("", "Is a directory"),
    ],
)
def test_what_is_no_file_is_one_line_at_once(tmp_path, reference, words):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    for read in (references.read, lambda *where: video.read(*where)):
        if reference in ("folder", "") and read is not references.read:
            continue  # a folder of frames
        with pytest.raises(MediaError, match=words) as error:
            read(reference, tmp_path)
        str(error.value).encode()  # it can be printed
        assert "\n" not in str(error.value) and "\0" not in str(error.value)


KINDS = [
    BASE64,
    BASE64.rstrip("="),
    BASE64.replace("+", "-").replace("/", "_"),
    BASE64.replace("+", "-").replace("/", "_").rstrip("="),
    " " + BASE64,
    base64.encodebytes(CONTENT).decode(),
    base64.encodebytes(CONTENT).decode().replace("\n", "\r\n\t"),
    BASE64.replace("+", "%2B").replace("=", "%3D"),
]


@pytest.mark.parametrize("body", KINDS)
@pytest.mark.parametrize("head", ["data:image/png;base64", "DATA:image/png;charset=x;BASE64"])
def test_base64_is_read_as_it_is_found(tmp_path, head, body):
    assert references.read(f"{head},{body}", tmp_path) == CONTENT


@pytest.mark.parametrize("size", [4, 8, 12, 16])
def test_base64_is_decoded_in_pieces(monkeypatch, size):
    monkeypatch.setattr(references, "_PIECE", size)
    for body in KINDS:
        assert references.decoded_base64(body) == CONTENT
    for text in (
        "abcdefg=abcdefgh",
        "abcdef==abcd",
        "abcdefg=\nabcdefgh",
        "abc=\n" * 9,
        "abcd\nabcde",
    ):
        with pytest.raises(ValueError, match="base64"):
            references.decoded_base64(text)


@pytest.mark.parametrize("encode", [base64.b64encode, base64.encodebytes])
def test_a_data_uri_is_decoded_without_copies(tmp_path, encode):
    size = 24 << 20
    uri = "data:video/mp4;base64," + encode(bytes(size)).decode()
    tracemalloc.start()
    assert len(references.read(uri, tmp_path)) == size
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * size


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png;base64,###",
        "data:image/png;base64,abcde",
        "data:image/png;base64,ab=cd",
        "data:image/png;base64,ab==" + "abcd",
        "data:image/png;base64,\u00e9",
        "data:image/png;base64",
        "data:image/png,abc",
    ],
)
def test_what_is_not_base64_is_broken_media(tmp_path, uri):
    with pytest.raises(BrokenMedia, match="image data:image/png"):
        references.read(uri, tmp_path)
