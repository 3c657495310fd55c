"""Images are read ahead by processes, in order, and never more bytes of them than the limit."""

import numpy as np
import pytest
from PIL import Image

from qvl.errors import UserError
from qvl.media.loader import Loader
from qvl.media.patches import ImageRules
from qvl.model.shape import load_shape
from qvl.train.read_ahead import ReadAhead

RULES = ImageRules(
    patch_size=16, merge_size=2, temporal_patch_size=2, min_pixels=32 * 32, max_pixels=1 << 20,
    mean=(0.5,) * 3, std=(0.5,) * 3,
)  # fmt: skip
VALUES = 3 * 2 * 16 * 16
SIZES = [(64, 96), (96, 64), (160, 128)]


@pytest.fixture(scope="module")
def shape(twin):
    return load_shape(twin)


@pytest.fixture(scope="module")
def lines(tmp_path_factory, shape):
    """Twelve packed lines with 0 to 3 images each, in a record of its own, and what loads them."""
    folder = tmp_path_factory.mktemp("images")
    made, draw = [], np.random.default_rng(0)
    for number in range(12):
        line = {"id": f"pack-{number}", "records": [], "images": [], "grids": []}
        line |= {"input_ids": [], "lengths": []}
        for index, size in enumerate(SIZES[: number % 4]):
            pixels = draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            name = f"{number}-{index}.png"
            Image.fromarray(pixels).save(folder / name)
            line["images"].append(name)
            line["grids"].append(list(RULES.grid(*size)))
            ids = [1, *[shape.image_id] * (size[0] * size[1] // 32**2), 2]
            line["input_ids"] += ids
            line["lengths"].append(len(ids))
            line["records"].append(f"r{index}")
        made.append(line)
    return made, Loader(RULES, None, folder)


def every(line):
    return range(len(line["images"]))


def size(line):
    return sum(rows * columns for _, rows, columns in line["grids"]) * VALUES


def test_lines_come_in_order_with_the_patches_that_a_loader_reads(lines, shape):
    made, loader = lines
    with ReadAhead(made, every, loader, shape, workers=2) as ahead:
        found = list(ahead)
    assert [line["id"] for line, _ in found] == [line["id"] for line in made]
    for line, patches in found:
        expected = [loader(line)[reference][0] for reference in line["images"]]
        if not expected:
            assert patches is None
            continue
        assert patches is not None and patches.dtype == np.uint8
        assert np.array_equal(patches, np.concatenate(expected))


def test_the_bytes_ahead_stay_below_the_limit(lines, shape):
    made, loader = lines
    largest = max(map(size, made))
    seen = []
    with ReadAhead(made, every, loader, shape, workers=2, limit=largest + 1) as ahead:
        for line, _ in ahead:
            seen.append(ahead.held)
            assert ahead.held <= largest + 1, line["id"]
    assert len(seen) == len(made) and max(seen) > 0
    with ReadAhead(made, every, loader, shape, workers=2, limit=1) as ahead:
        for _ in ahead:  # each is larger than the limit, so one is read at a time
            assert ahead.held <= largest


def test_a_rank_reads_its_own_images_alone(lines, shape):
    made, loader = lines
    with ReadAhead(made, lambda line: every(line)[1:2], loader, shape, workers=1) as ahead:
        for line, patches in ahead:
            if len(line["images"]) > 1:
                assert patches is not None
                assert np.array_equal(patches, loader(line)[line["images"][1]][0])
            else:
                assert patches is None


def test_an_image_that_has_changed_is_named(lines, shape):
    made, loader = lines
    other = {**made[1], "grids": [[1, 2, 2]]}
    with (
        ReadAhead([other], every, loader, shape, workers=1) as ahead,
        pytest.raises(UserError, match=r"^record 'r0': image 1-0.png: its grid is .* pack again"),
    ):
        list(ahead)


def test_an_image_that_is_lost_is_named_with_its_record_alone(lines, shape):
    made, loader = lines
    images = [made[3]["images"][0], "gone.png", made[3]["images"][2]]
    with (
        ReadAhead([{**made[3], "images": images}], every, loader, shape, workers=1) as ahead,
        pytest.raises(UserError, match=r"^record 'r1': image .*gone.png: No such file"),
    ):
        list(ahead)
