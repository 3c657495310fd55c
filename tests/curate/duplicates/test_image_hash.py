import io
import math
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageOps

from qvl.curate.duplicates.dedup import Dedup, Exact
from qvl.curate.duplicates.image_hash import Alike
from qvl.errors import UserError
from qvl.streams.expression import Expression


def clock(hour: float, side: int = 256) -> Image.Image:
    picture = Image.new("RGB", (side, side), "white")
    draw, middle = ImageDraw.Draw(picture), side / 2
    draw.ellipse((side * 0.1, side * 0.1, side * 0.9, side * 0.9), outline="black", width=4)
    angle = hour / 12 * 2 * math.pi
    hand = (middle + middle * 0.7 * math.sin(angle), middle - middle * 0.7 * math.cos(angle))
    draw.line((middle, middle, *hand), fill="black", width=6)
    return picture


def page(text: str) -> Image.Image:
    picture = Image.new("RGB", (400, 500), "white")
    ImageDraw.Draw(picture).multiline_text((20, 20), "\n".join([text * 4] * 25), fill="black")
    return picture


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


def clear(picture: Image.Image, mode: str) -> Image.Image:
    """The picture as black ink on nothing; the hidden colour is black too."""
    black = Image.new(mode, picture.size)
    black.putalpha(ImageOps.invert(picture.convert("L")))
    return black


SAME = {
    "a JPEG": (clock(3), jpeg(clock(3), 90)),
    "a poor JPEG": (clock(3), jpeg(clock(3), 30)),
    "half the size": (clock(3), clock(3).resize((128, 128), Image.Resampling.LANCZOS)),
    "twice the size": (clock(3), clock(3).resize((512, 512), Image.Resampling.BICUBIC)),
    "another mode": (clock(3), clock(3).convert("RGBA")),
    "transparent for white": (clock(3), clear(clock(3), "RGBA")),
    "transparent for white, in grey": (clock(3), clear(clock(3), "LA")),
    "a page as JPEG": (page("lorem ipsum"), jpeg(page("lorem ipsum"), 60)),
}
DIFFERENT = {
    "an hour later": (clock(3), clock(4)),
    "twenty minutes later": (clock(3), clock(3.33)),
    "another page": (page("lorem ipsum "), page("WWW dolor sit")),
    "black and white": (Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64), "white")),
    "a mirror": (clock(3), clock(3).transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
}


def twice(folder: Path, *pictures: Image.Image, bits: int = 4) -> list[str | None]:
    """What becomes of records with one question and these images."""
    dedup = Dedup(Expression("question()"), Exact(), Alike(bits, folder))
    found = []
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number}.png")
        parts = [{"type": "image", "image": f"{number}.png"}, {"type": "text", "text": "What?"}]
        dropped = dedup({"id": f"r{number}", "messages": [{"role": "user", "content": parts}]})
        found.append(dropped.detail if dropped else None)
    return found


@pytest.mark.parametrize(("first", "second"), SAME.values(), ids=SAME)
def test_images_look_the_same_as(tmp_path, first, second):
    assert twice(tmp_path, first, second) == [None, "duplicate of r0"]


@pytest.mark.parametrize(("first", "second"), DIFFERENT.values(), ids=DIFFERENT)
@pytest.mark.parametrize("bits", [4, 16])
def test_images_do_not_look_the_same_as(tmp_path, first, second, bits):
    assert twice(tmp_path, first, second, bits=bits) == [None, None]


def test_all_images_of_a_record_count_and_so_does_their_number(tmp_path):
    for name, hour in (("a", 1), ("b", 5), ("c", 9)):
        clock(hour).save(tmp_path / f"{name}.png")
    dedup = Dedup(Expression("question()"), Exact(), Alike(4, tmp_path))
    kept = []
    for names in ("ab", "ac", "a", "", "ba", "ab", "a", ""):
        parts = [{"type": "image", "image": f"{name}.png"} for name in names]
        kept.append(dedup({"id": names, "messages": [{"role": "user", "content": parts}]}) is None)
    assert kept == [True, True, True, True, True, False, False, False]


def test_an_image_that_cannot_be_read_is_an_error_or_a_reason(tmp_path):
    parts = [{"type": "image", "image": "absent.png"}]
    record = {"id": "r", "messages": [{"role": "user", "content": parts}]}
    with pytest.raises(UserError, match=r"record 'r': image .*absent\.png"):
        Dedup(Expression("question()"), Exact(), Alike(4, tmp_path))(record)
    dropped = Dedup(Expression("question()"), Exact(), Alike(4, tmp_path), drop_unreadable=True)(
        record
    )
    assert dropped is not None
    assert dropped.reason == "unreadable-media"


def test_bits_outside_their_range_are_refused(tmp_path):
    for bits in (-1, 17):
        with pytest.raises(UserError, match="--images"):
            Alike(bits, tmp_path)
