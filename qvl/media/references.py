"""Read what a record refers to: paths below a root, data: URIs, and http(s) addresses if allowed."""

import base64
import binascii
import errno
import io
import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote_to_bytes

from qvl.media import remote
from qvl.media.errors import BrokenMedia, MediaError

MAX_FILE_BYTES = 1 << 31  # of a path: a video of hours; it is read whole

_PIECE = 1 << 22  # characters of base64, a multiple of 4
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n\f\v"
_SCHEME = re.compile(r"(?i:(data):|(https?)://|(file):(?://(?:localhost(?=/))?)?)")


def root_of(files: list[str] | None, media_root: str | None) -> Path:
    """The folder of relative paths: --media-root, else that of the first file, else the current one."""
    if media_root is not None:
        return Path(media_root)
    first = files[0] if files else "-"
    return Path() if first == "-" else Path(first).parent


def is_data(reference: str) -> bool:
    """Whether a reference holds its content."""
    return _scheme(reference) == "data"


def is_relative(reference: str) -> bool:
    """Whether a reference is a path that depends on the media root."""
    return _scheme(reference) is None and not reference.startswith("/")


def is_remote(reference: str) -> bool:
    """Whether a reference is an address that has to be fetched."""
    return _scheme(reference) in ("http", "https")


def read(reference: str, root: Path, *, allow_remote: bool = False, kind: str = "image") -> bytes:
    """The bytes of an image or video. MediaError if it is missing, unreadable or not allowed.

    kind: what it is to be, for the error.
    """
    name = f"{kind} {brief(reference)}"
    if is_data(reference):
        return _decoded_uri(reference, name)
    if is_remote(reference):
        if not allow_remote:
            raise MediaError(f"{name}: is remote; allow it with --allow-remote")
        return remote.fetch(reference, name)
    path = resolve(reference, root, kind=kind)
    try:
        return _file(path)
    except OSError as error:
        raise MediaError(f"{kind} {path}: {error.strerror}; see --media-root") from None


def resolve(reference: str, root: Path, *, kind: str = "image") -> Path:
    """The path of a reference below `root`. MediaError if it leaves the root, or is no path."""
    name = f"{kind} {brief(reference)}"
    match = _SCHEME.match(reference)
    path = reference[match.end() :] if match and _scheme(reference) == "file" else reference
    try:
        base = root.resolve()
        found = (base / path).resolve()
        os.fsencode(found)
    except RuntimeError:  # of a symlink to itself, before Python 3.13
        raise MediaError(f"{name}: {os.strerror(errno.ELOOP)}") from None
    except OSError as error:
        raise MediaError(f"{name}: {error.strerror}") from None
    except ValueError as error:  # a null character, or half of a surrogate pair
        raise MediaError(f"{name}: is no path: {error}") from None
    if not found.is_relative_to(base):
        raise MediaError(f"{name}: leaves the media root {root}; see --media-root")
    return found


def brief(reference: str) -> str:
    """A reference, shortened to one line for messages."""
    shown = reference if len(reference) <= 80 else reference[:77] + "..."
    return shown if shown.isprintable() else shown.encode("unicode_escape").decode()


def _scheme(reference: str) -> str | None:
    match = _SCHEME.match(reference)
    return match[match.lastindex or 0].lower() if match else None


def _file(path: Path) -> bytes:
    """The content of a regular file; OSError for anything else, and nothing else is waited for."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would block
    with os.fdopen(opened, "rb") as file:
        info = os.fstat(opened)
        if stat.S_ISDIR(info.st_mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file")
        if info.st_size > MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, f"Larger than {MAX_FILE_BYTES >> 20} MiB")
        return file.read(MAX_FILE_BYTES)


def _decoded_uri(reference: str, name: str) -> bytes:
    begin = reference.find(",") + 1
    if not reference[:begin].lower().endswith(";base64,"):
        raise BrokenMedia(f"{name}: only base64 data: URIs are supported")
    try:
        return decoded_base64(reference, begin)
    except ValueError as error:
        raise BrokenMedia(f"{name}: {error}") from None


def decoded_base64(text: str, begin: int = 0) -> bytes:
    """The bytes of base64 as it is found: with white space, without padding, or URL-safe.

    begin: of the base64 in the text. ValueError if it has other characters or ends within a byte.
    """
    if not text.isascii():
        raise ValueError("base64 of other characters than ASCII")
    try:
        return _decoded_plainly(text, begin)  # as nearly all is written
    except binascii.Error:
        pass
    try:
        return _decoded_as_found(text, begin)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


def _decoded_plainly(text: str, begin: int) -> bytes:
    """The bytes of base64 without white space; binascii.Error else.

    In pieces, between which other threads run, and without a copy: a video may have 200 MB.
    """
    if text.find("=", begin, -2) >= 0:
        raise binascii.Error("padding before the end")
    content = io.BytesIO()
    for at in range(begin, len(text), _PIECE):
        content.write(base64.b64decode(text[at : at + _PIECE], validate=True))
    return content.getvalue()


def _decoded_as_found(text: str, begin: int) -> bytes:
    """The bytes of base64 of any kind, in pieces as well. binascii.Error if it is none."""
    content, rest, is_padded = io.BytesIO(), b"", False
    while begin < len(text):
        end = begin + _PIECE
        cut = text.find("%", end - 2, end)  # RFC 2397 writes "+" as "%2B", and "="
        end = cut if begin < cut and end < len(text) else end
        piece = unquote_to_bytes(text[begin:end]).translate(_URL_SAFE, _WHITE_SPACE)
        piece, padding, more = piece.partition(b"=")
        if (is_padded and piece) or more.strip(b"="):
            raise binascii.Error("padding before the end")
        is_padded = is_padded or bool(padding)
        rest += piece
        whole = len(rest) // 4 * 4
        content.write(base64.b64decode(rest[:whole], validate=True))
        rest, begin = rest[whole:], end
    content.write(base64.b64decode(rest + b"=" * (-len(rest) % 4), validate=True))
    return content.getvalue()
