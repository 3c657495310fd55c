"""What `convert` writes to a file has the type that an endpoint is sent."""

import base64

import pytest

from qvl.client.chat import data_uri
from qvl.errors import UserError
from qvl.formats.context import suffix_of

TYPES = {
    ".png": (b"\x89PNG\r\n\x1a\n", "image/png"),
    ".jpg": (b"\xff\xd8\xff\xe0", "image/jpeg"),
    ".gif": (b"GIF89a", "image/gif"),
    ".bmp": (b"BM....", "image/bmp"),
    ".tiff": (b"II*\0....", "image/tiff"),
    ".webp": (b"RIFF....WEBPVP8 ", "image/webp"),
    ".avif": (b"\0\0\0 ftypavif", "image/avif"),
    ".heic": (b"\0\0\0 ftypheic", "image/heic"),
    ".mov": (b"\0\0\0 ftypqt  ", "video/quicktime"),
    ".mp4": (b"\0\0\0 ftypisom", "video/mp4"),
    ".webm": (b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\x82\x84webm", "video/webm"),
    ".mkv": (b"\x1aE\xdf\xa3\xa3B\x86\x81\1B\x82\x88matroska", "video/x-matroska"),
    ".avi": (b"RIFF....AVI LIST", "video/x-msvideo"),
}


@pytest.mark.parametrize(("suffix", "content", "media_type"), [(s, *t) for s, t in TYPES.items()])
def test_the_first_bytes_decide_the_type(tmp_path, suffix, content, media_type):
    (tmp_path / "x.dat").write_bytes(content)
    wanted = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
    assert (suffix_of(content, "x.dat"), data_uri("x.dat", tmp_path)) == (suffix, wanted)


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7", b"RIFF....WAVEfmt "])
def test_an_endpoint_is_sent_images_and_videos_only(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UserError, match="not an image or a video"):
        data_uri("x.png", tmp_path)


def test_the_name_decides_where_the_bytes_do_not():
    assert [suffix_of(b"?", name) for name in ("a.SVG", "a", None)] == [".svg", ".bin", ".bin"]
