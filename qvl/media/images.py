"""Read what a record refers to: paths below a root, data: URIs, and http(s) addresses if allowed."""

import base64
import binascii
import io
import ipaddress
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, build_opener

from qvl.errors import UserError, need

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_REMOTE_BYTES = 1 << 26
REMOTE_TIMEOUT_SECONDS = 30


def root_of(files: list[str] | None, media_root: str | None) -> Path:
    """The folder of relative paths: --media-root, else that of the first file, else the current one."""
    if media_root is not None:
        return Path(media_root)
    first = files[0] if files else "-"
    return Path() if first == "-" else Path(first).parent


def load(reference: str, root: Path, *, allow_remote: bool = False) -> "Image":
    """The image as RGB. UserError if it is missing, unreadable or not allowed."""
    return decode(read(reference, root, allow_remote=allow_remote), reference)


def decode(content: bytes, reference: str) -> "Image":
    """Decode an image as RGB. UserError, with the reference, if it is unreadable."""
    pillow = need("PIL.Image", extra="data")
    try:
        with pillow.open(io.BytesIO(content)) as image:
            return image.convert("RGB")
    except (OSError, pillow.DecompressionBombError) as error:
        raise UserError(f"image {brief(reference)}: {error}") from None


def read(reference: str, root: Path, *, allow_remote: bool = False) -> bytes:
    """The bytes of an image or video. UserError if it is missing, unreadable or not allowed."""
    if reference.startswith("data:"):
        return _data_uri(reference)
    if reference.startswith(("http://", "https://")):
        if not allow_remote:
            raise UserError(f"image {brief(reference)}: is remote; allow it with --allow-remote")
        return _fetch(reference)
    path = resolve(reference, root)
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"image {path}: {error.strerror}; see --media-root") from None


def resolve(reference: str, root: Path) -> Path:
    """The path of a reference below `root`. UserError if it leaves the root."""
    base = root.resolve()
    path = (base / reference.removeprefix("file://")).resolve()
    if not path.is_relative_to(base):
        raise UserError(f"image {brief(reference)}: leaves the media root {root}; see --media-root")
    return path


def brief(reference: str) -> str:
    """A reference, shortened for messages."""
    return reference if len(reference) <= 80 else reference[:77] + "..."


def _data_uri(reference: str) -> bytes:
    head, comma, body = reference.partition(",")
    if not comma or not head.endswith(";base64"):
        raise UserError(f"image {brief(reference)}: only base64 data: URIs are supported")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise UserError(f"image {brief(reference)}: {error}") from None


def _fetch(url: str) -> bytes:
    _refuse_private(url)
    try:
        with build_opener(_CheckedRedirects).open(url, timeout=REMOTE_TIMEOUT_SECONDS) as response:
            content = response.read(MAX_REMOTE_BYTES + 1)
    except OSError as error:
        raise UserError(f"image {brief(url)}: {error}") from None
    if len(content) > MAX_REMOTE_BYTES:
        raise UserError(f"image {brief(url)}: larger than {MAX_REMOTE_BYTES >> 20} MiB")
    return content


def _refuse_private(url: str) -> None:
    host = urlsplit(url).hostname or ""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError as error:
        raise UserError(f"image {brief(url)}: {error.strerror}") from None
    for *_, address in found:
        if not ipaddress.ip_address(address[0]).is_global:
            raise UserError(f"image {brief(url)}: {host} is a private address")


class _CheckedRedirects(HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        _refuse_private(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
