"""Images and video frames as the page shows them: decoded here, upright and on white as a model sees them,
and encoded anew. No byte of a record's file reaches the browser, so a file that is no image cannot do harm.
"""

import base64
import io
import threading
from pathlib import Path
from typing import Any

from qvl.media import images, references, video
from qvl.media.errors import BrokenMedia
from qvl.view.shown import Medium

SIDE = 1024  # pixels of the longer side in the page
LARGE_SIDE = 2560  # of an image that is opened
FRAME_SIDE = 288
MAX_FRAMES = 32
MAX_PIXELS = 50_000_000  # of an image: decoding takes 3 bytes for each, beside the stream
CRISP = 400_000  # pixels up to which an image is sent as it is, in PNG
QUALITY = 88

_turn = threading.Semaphore(2)  # decodings at a time: each may take 150 MB


def picture(medium: Medium, root: Path, *, allow_remote: bool, side: int) -> tuple[bytes, str]:
    """An image as PNG or JPEG of at most `side` pixels, and its media type. MediaError if there is none."""
    assert isinstance(medium.reference, str)
    with _turn:
        content = references.read(medium.reference, root, allow_remote=allow_remote)
        width, height = images.peek(content, medium.reference)
        if width * height > MAX_PIXELS:
            name = references.brief(medium.reference)
            raise BrokenMedia(
                f"image {name}: {width:,} x {height:,} pixels, too large to be shown here"
            )
        image = images.decode(content, medium.reference)
        del content
        image.thumbnail((side, side))
        if image.width * image.height <= CRISP:
            return _encoded(image, "PNG", optimize=False, compress_level=4), "image/png"
        return _encoded(image, "JPEG", quality=QUALITY), "image/jpeg"


def frames(medium: Medium, root: Path, *, allow_remote: bool) -> dict[str, Any]:
    """Some frames of a video, evenly from those that a model would see, as data: URIs with their times.

    MediaError if there are none.
    """
    import numpy
    from PIL import Image

    def small(count: int, width: int, height: int) -> Any:
        factor = min(FRAME_SIDE / max(width, height), 1)
        size = max(round(width * factor), 1), max(round(height * factor), 1)
        return lambda frame: numpy.asarray(Image.fromarray(frame).resize(size))

    with _turn:
        clip = video.read(medium.reference, root, allow_remote=allow_remote, fit=small)
        count = len(clip.frames)
        step = max(-(-count // MAX_FRAMES), 1)
        chosen = range(0, count, step)
        texts = [
            data_uri(
                _encoded(Image.fromarray(clip.frames[place]), "JPEG", quality=QUALITY),
                "image/jpeg",
            )
            for place in chosen
        ]
    return {
        "frames": texts,
        "seconds": [round(clip.seconds[place], 2) for place in chosen],
        "sampled": count,
        "size": list(clip.size),
    }


def data_uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _encoded(image: Any, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
