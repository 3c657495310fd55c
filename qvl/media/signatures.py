"""The type of a media file by its signature, the first bytes, and never by its name."""

import re

_SIGNATURES = [  # what the content begins with, its media type, its suffix
    (re.compile(pattern, re.DOTALL), media_type, suffix)
    for pattern, media_type, suffix in (
        (rb"\x89PNG", "image/png", ".png"),
        (rb"\xff\xd8\xff", "image/jpeg", ".jpg"),
        (rb"GIF8", "image/gif", ".gif"),
        (rb"BM", "image/bmp", ".bmp"),
        (rb"II\*\0|MM\0\*", "image/tiff", ".tiff"),
        (rb"RIFF.{4}WEBP", "image/webp", ".webp"),
        (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "image/jp2", ".jp2"),
        (rb"P[1-7][\s#]", "image/x-portable-anymap", ".pnm"),
        (rb"\0\0\x01\0", "image/vnd.microsoft.icon", ".ico"),
        (rb".{4}ftypavi[fs]", "image/avif", ".avif"),
        (rb".{4}ftyphei[cx]", "image/heic", ".heic"),
        (rb".{4}ftypqt  ", "video/quicktime", ".mov"),
        (rb".{4}ftyp", "video/mp4", ".mp4"),
        (rb"\x1aE\xdf\xa3.{,60}webm", "video/webm", ".webm"),
        (rb"\x1aE\xdf\xa3", "video/x-matroska", ".mkv"),
        (rb"RIFF.{4}AVI ", "video/x-msvideo", ".avi"),
        (rb"FLV\x01", "video/x-flv", ".flv"),
        (rb"\x47.{187}\x47|\x47.{191}\x47", "video/mp2t", ".ts"),
        (rb"\0\0\x01[\xba\xb3]", "video/mpeg", ".mpg"),
        (rb"OggS", "video/ogg", ".ogv"),
        (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf", ".wmv"),
        (rb"RIFF.{4}WAVE", "audio/wav", ".wav"),
    )
]


def media_type(content: bytes) -> str | None:
    """The media type of a file's content; None if it is unknown."""
    return next((kind for known, kind, _ in _SIGNATURES if known.match(content)), None)


def suffix(content: bytes) -> str | None:
    """The file name suffix of a file's content, such as ".png"; None if it is unknown."""
    return next((suffix for known, _, suffix in _SIGNATURES if known.match(content)), None)
