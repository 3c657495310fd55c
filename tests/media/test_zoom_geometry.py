"""The geometry of image_zoom_in_tool, against values worked out by hand from its published rules."""

import io

import pytest
from PIL import Image

from qvl.media import png, zoom


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        ([250, 100, 750, 600], (1000, 500), (250, 50, 750, 300)),
        ([-50, -50, 1200, 900], (1000, 500), (0, 0, 1000, 450)),  # clipped to the image
        ([500, 500, 511, 511], (1000, 1000), (489, 489, 522, 522)),  # 11 pixels become 33
        ([500, 500, 511, 533], (1000, 1000), (489, 468, 522, 565)),  # the shape is kept
        ([500, 500, 510, 510], (1000, 1000), (500, 500, 510, 510)),  # 32 are not more than 32
        ([0, 0, 10, 10], (1000, 1000), (0, 0, 10, 10)),  # at the edge 21 pixels are left
        ([0, 0, 1000, 1000], (20, 20), (0, 0, 20, 20)),  # a small image cannot grow
    ],
)
def test_a_box_is_in_thousandths_is_clipped_and_grows_where_it_is_small(box, size, expected):
    assert zoom.region(box, *size) == pytest.approx(expected)


@pytest.mark.parametrize(
    "box",
    [[5, 5, 5, 9], [9, 0, 5, 9], [float("nan")] * 4, [0, 0, float("inf"), 9], [1001, 0, 2000, 9]],
)
def test_a_box_that_shows_nothing_is_refused(box):
    with pytest.raises(ValueError, match="bbox_2d"):
        zoom.region(box, 640, 480)


def test_a_crop_has_at_least_256_tokens_and_sides_of_whole_tokens():
    image = Image.effect_noise((640, 480), 50).convert("RGB")
    found = zoom.crop(image, [0, 0, 100, 100])  # 64 x 48 pixels
    assert found.size == (608, 448)  # ceil(64 * sqrt(256 * 1024 / 3072) / 32) * 32, and of 48
    assert zoom.crop(image, [0, 0, 1000, 1000]).size == (640, 480)
    assert zoom.crop(image, [0, 0, 100, 100], min_tokens=4).size == (64, 64)
    plain = image.crop((0, 0, 64, 48)).resize((608, 448), Image.Resampling.BICUBIC)
    assert found.tobytes() == plain.tobytes()


def test_a_png_decodes_to_the_pixels_that_were_encoded():
    image = Image.merge("RGB", [Image.effect_noise((53, 31), 90) for _ in range(3)])
    assert Image.open(io.BytesIO(png.encode(image))).tobytes() == image.tobytes()
