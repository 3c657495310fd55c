"""Decode images as the engines see them: upright, as RGB, and transparent pixels on white.

Orientation is that of the EXIF data, as in transformers' load_image; transparency is blended with
white, as in qwen-vl-utils and vLLM, whatever the mode that holds it (RGBA, LA, a palette, a colour key).
An image with more pixels than MAX_PIXELS is refused by its header, before a pixel is decoded.
"""

import functools
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qvl.errors import need
from qvl.media.errors import BrokenMedia
from qvl.media.references import brief, read

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES = 1 << 28  # of a decoded image, 3 per pixel: Pillow warns of larger ones
MAX_PIXELS = MAX_BYTES // 3

# Those whose signatures qvl.media.signatures knows. Pillow reads 40 more, and some start programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO")

ORIENTATION, SWAPPED = 0x0112, (5, 6, 7, 8)  # of EXIF, and the orientations that swap the sides
UPRIGHT = (None, 0, 1)

# What decoders raise for broken content, besides OSError: each was seen in fuzzed files.
BROKEN = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def load(reference: str, root: Path, *, allow_remote: bool = False) -> "Image":
    """The image as RGB. MediaError if it is missing, unreadable or not allowed."""
    return decode(read(reference, root, allow_remote=allow_remote), reference)


def decode(content: bytes, reference: str) -> "Image":
    """The pixels of an image as RGB. BrokenMedia, with the reference, if it is none."""
    with _opened(content, reference) as image:
        need("PIL.ImageOps").exif_transpose(image, in_place=True)
        return on_white(image)


def peek(content: bytes, reference: str) -> tuple[int, int]:
    """The (width, height) of decode's result by the header alone: the pixels may be broken."""
    with _opened(content, reference) as image:
        width, height = image.size
        # Pillow turns the size of a TIFF by itself.
        is_swapped = image.format != "TIFF" and _orientation(image) in SWAPPED
        return (height, width) if is_swapped else (width, height)


def portable(content: bytes, reference: str) -> bytes:
    """The image for an engine that ignores EXIF and may put transparent pixels on black: as it is,
    or where it is turned or transparent, as a PNG of the pixels of `decode`. What is no image is for
    the engine to refuse, which may know more formats."""
    try:
        with _opened(content, reference) as image:
            if not image.has_transparency_data and _orientation(image) in UPRIGHT:
                return content
    except BrokenMedia:
        return content
    file = io.BytesIO()
    decode(content, reference).save(file, "PNG", compress_level=1)
    return file.getvalue()


@contextmanager
def _opened(content: bytes, reference: str) -> "Iterator[Any]":
    """The image of a header within the budget; what goes wrong with it inside is BrokenMedia."""
    pillow = need("PIL.Image")
    try:
        with pillow.open(io.BytesIO(content), formats=_formats(pillow)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"{width}x{height}: more than {MAX_PIXELS:,} pixels")
            yield image
    except pillow.UnidentifiedImageError:
        known = ", ".join(_formats(pillow))
        raise BrokenMedia(
            f"image {brief(reference)}: cannot identify its format; expected one of {known}"
        ) from None
    except (OSError, pillow.DecompressionBombError, *BROKEN) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BrokenMedia(f"image {brief(reference)}: {reason}") from None


def _orientation(image: Any) -> Any:
    """The EXIF orientation in the header. Where a PNG has it after the pixels, it is not looked for."""
    if image.format == "PNG" and "exif" not in image.info:
        return None
    return image.getexif().get(ORIENTATION)


@functools.cache
def _formats(pillow: Any) -> tuple[str, ...]:
    """Those of FORMATS that this Pillow was built with.

    From here on Pillow's warnings of odd files are not shown: a file is decoded, or refused by an error.
    """
    for category in (UserWarning, pillow.DecompressionBombWarning):
        warnings.filterwarnings("ignore", category=category, module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    pillow.init()
    return tuple(each for each in FORMATS if each in pillow.OPEN)


def on_white(image: Any) -> "Image":
    """An image of any mode as RGB, transparent pixels on white."""
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        white = need("PIL.Image").new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image.convert("RGB")
