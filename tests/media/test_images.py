"""Pixels as the engines see them, and files that are refused."""

import io
import random

import fuzzed
import numpy as np
import pytest
from PIL import Image
from transformers.image_utils import load_image

from qvl.media import images, signatures
from qvl.media.errors import BrokenMedia, MediaError


def on_white(image: Image.Image) -> np.ndarray:
    """The pixels by the arithmetic of vLLM and qwen-vl-utils: RGBA is pasted on white."""
    shown = Image.new("RGB", image.size, (255, 255, 255))
    shown.paste(image, mask=image.split()[3])
    return np.asarray(shown)


@pytest.mark.parametrize(
    ("kind", "mode"), [(kind, mode) for kind, modes in fuzzed.SAVED.items() for mode in modes]
)
def test_pixels_of_every_format_and_mode_are_those_of_transformers_or_on_white(
    tmp_path, kind, mode
):
    content = fuzzed.saved(fuzzed.picture(mode), kind)
    (tmp_path / "x").write_bytes(content)
    found = np.asarray(images.load("x", tmp_path))
    with Image.open(io.BytesIO(content)) as image:
        if image.has_transparency_data:
            expected = on_white(image.convert("RGBA"))
        else:
            expected = np.asarray(load_image(str(tmp_path / "x")))
    assert (found == expected).all()
    assert (signatures.media_type(content) or "").startswith("image/")


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "1", "I;16"])
def test_a_colour_key_is_transparent(mode):
    image = fuzzed.picture(mode)
    key = (9, 9, 9) if mode == "RGB" else 1
    image.putpixel((0, 0), key)
    content = fuzzed.saved(image, "PNG", transparency=key)
    assert images.decode(content, "x").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_obeyed_as_by_transformers(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = fuzzed.saved(fuzzed.picture("RGB"), kind, exif=exif)
    (tmp_path / "x").write_bytes(content)
    found = images.load("x", tmp_path)
    assert (np.asarray(found) == np.asarray(load_image(str(tmp_path / "x")))).all()
    assert found.size == ((30, 40) if orientation >= 5 else (40, 30))
    assert images.peek(content, "x") == found.size


def test_the_first_of_several_frames_is_the_image():
    frames = [fuzzed.picture("RGB", seed=seed) for seed in range(3)]
    content = fuzzed.saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert (np.asarray(images.decode(content, "x")) == np.asarray(frames[0])).all()


def test_a_large_image_is_refused_before_it_is_decoded():
    side = int(images.MAX_PIXELS**0.5) + 1
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    broken = file.getvalue()[:100]  # a header whose pixels are missing
    for look in (images.decode, images.peek):
        with pytest.raises(BrokenMedia, match=f"{side}x{side}: more than 89,478,485 pixels"):
            look(broken, "x.png")


def test_formats_that_start_programs_or_are_unknown_to_the_engines_are_refused():
    postscript = fuzzed.saved(fuzzed.picture("RGB"), "EPS")
    for content in (postscript, fuzzed.saved(fuzzed.picture("RGB"), "TGA"), b"", b"text"):
        with pytest.raises(BrokenMedia, match="cannot identify its format; expected one of PNG"):
            images.decode(content, "x")


def test_a_cut_jpeg_and_a_broken_chunk_name_the_image():
    jpeg = fuzzed.saved(fuzzed.picture("RGB", 64, 64), "JPEG")
    png = bytearray(fuzzed.saved(fuzzed.picture("RGB", 400, 400), "PNG"))
    second = png.index(b"IDAT", png.index(b"IDAT") + 4)
    png[second : second + 4] = b"\xc7f\xb31"
    for content, words in ((jpeg[:-300], "truncated"), (bytes(png), "broken PNG file")):
        with pytest.raises(BrokenMedia, match=f"image cut.x: .*{words}"):
            images.decode(content, "cut.x")


@pytest.mark.filterwarnings("ignore")  # pytest shows them, whatever the filters of the code
def test_a_fuzzed_image_is_pixels_or_one_line():
    choose = random.Random(23)
    for _ in range(400):
        content = fuzzed.mutated(choose.choice(fuzzed.image_files()), choose)
        try:
            assert images.decode(content, "x").mode == "RGB"
        except MediaError as error:
            assert "\n" not in str(error)
