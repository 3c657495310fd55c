"""Broken inputs for fuzzing: files of every kind with some of their bytes changed, and JSON with odd parts."""

import copy
import functools
import io
import json
import operator
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import videos
from PIL import Image, PngImagePlugin

SAVED = {  # format -> the modes in which it is saved
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("L", "P"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"),
    "AVIF": ("RGB", "RGBA"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA"),
    "PPM": ("1", "L", "RGB"),
    "ICO": ("RGBA",),
}


def picture(mode: str, width: int = 40, height: int = 30, seed: int = 0) -> Image.Image:
    """An image of this mode with noise in every channel, transparency included."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    if mode in ("LA", "P", "RGBA"):
        image = Image.fromarray(noise, "RGBA")
        return image if mode == "RGBA" else image.convert(mode)
    if mode in ("I;16", "I", "F"):
        return Image.fromarray(noise[..., 0].astype({"I;16": "u2", "I": "i4", "F": "f4"}[mode]))
    if mode == "CMYK":
        return Image.fromarray(noise, "CMYK")
    if mode == "LAB":
        return Image.fromarray(noise[..., :3].copy(), "LAB")
    return Image.fromarray(noise[..., :3].copy(), "RGB").convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The image as a file of this format."""
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


@functools.cache
def image_files() -> list[bytes]:
    """One file of every format and mode, and some with EXIF, text and several frames."""
    files = [saved(picture(mode), kind) for kind, modes in SAVED.items() for mode in modes]
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "turned"
    notes = PngImagePlugin.PngInfo()
    notes.add_text("note", "text " * 50, zip=True)
    notes.add_itxt("more", "text " * 50, zip=True)
    frames = [picture("P", seed=seed) for seed in range(3)]
    return [
        *files,
        *(saved(picture("RGB"), kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP", "TIFF")),
        saved(picture("RGB"), "PNG", pnginfo=notes),
        saved(picture("RGB"), "JPEG", progressive=True),
        saved(picture("P"), "PNG", transparency=3),
        saved(picture("RGB"), "PNG", transparency=(1, 2, 3)),
        *(
            saved(frames[0], kind, save_all=True, append_images=frames[1:])
            for kind in ("GIF", "WEBP", "TIFF", "PNG")
        ),
    ]


@functools.cache
def video_files() -> list[bytes]:
    """A short video in each of some containers."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            videos.write(Path(folder) / f"a.{kind}", 6, width=48, height=32).read_bytes()
            for kind in ("mp4", "mkv", "avi", "mov", "ts", "flv")
        ]


def mutated(content: bytes, random: random.Random) -> bytes:
    """The content with a few bytes flipped, cut out, doubled or set to extremes; or truncated."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        if not changed:
            break
        # Headers are at the beginning, where most damage is interesting.
        most = len(changed) if random.random() < 0.5 else min(len(changed), 80)
        at = random.randrange(most)
        size = random.choice((1, 1, 2, 4, 30))
        match random.randrange(6):
            case 0:
                changed[at] ^= 1 << random.randrange(8)
            case 1:
                changed[at : at + size] = random.randbytes(size)
            case 2:
                changed[at : at + size] = random.choice((b"\0", b"\xff", b"\x7f")) * size
            case 3:
                del changed[at : at + size]
            case 4:
                changed[at:at] = changed[at : at + size]
            case _:
                if random.random() < 0.3:
                    del changed[at:]
    return bytes(changed)


ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3, 0.5, 1e308, 1 << 63, -(1 << 63)),
    *(
        "",
        "x",
        "1",
        "\0",
        "\u2028\U0001f600",
        "\ud800",
        "word " * 3000,
        "<|image_pad|>",
        "<tool_call>",
    ),
    *("..", "a\0b", "http://127.0.0.1:9/", "http://[::1", "file:///etc/passwd"),
    *("data:image/png;base64,", "data:image/png;base64,AAAA", "data:video/mp4;base64,A"),
    *([], {}, [[]], [None], [{}], {"": None}, {"type": "text"}, [[1, 2], [3]], [0] * 300),
)


def altered(value: Any, random: random.Random) -> Any:
    """The JSON value with a few of its parts odd, missing, doubled, or exchanged for others."""
    whole = {"": copy.deepcopy(value)}
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        places = [place for place in _places(whole) if place]
        *outer, last = random.choice(places)
        holder = functools.reduce(operator.getitem, outer, whole)
        match random.randrange(6):
            case 0 | 1 | 2:
                holder[last] = copy.deepcopy(random.choice(ODD))
            case 3 if outer:
                del holder[last]
            case 4:
                holder[last] = [holder[last], copy.deepcopy(holder[last])]
            case _:
                other = functools.reduce(operator.getitem, random.choice(places), whole)
                holder[last] = copy.deepcopy(other)
    return whole[""]


def encoded(value: Any, random: random.Random) -> bytes:
    """The JSON of a value that may be altered, now and then broken as text, too."""
    content = json.dumps(value if random.random() < 0.05 else altered(value, random)).encode()
    return mutated(content, random) if random.random() < 0.15 else content


def _places(value: Any, at: tuple = ()) -> Iterator[tuple]:
    yield at
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(each, (*at, key))
