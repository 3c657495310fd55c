"""The crop that Qwen3-VL's zoom tool shows for a box: the geometry of image_zoom_in_tool.

The rules are those of Qwen-Agent (qwen_agent/tools/image_zoom_in_qwen3vl.py, 2026-03-04): a box is in
thousandths of the sides of the original image; it is clipped to the image; where a side is shorter than 32
pixels the box grows around its middle; the crop is resized (bicubic) to multiples of 32, to at least 256
tokens of 32 x 32 pixels and at most 12,845,056 pixels.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qvl.errors import need
from qvl.media.patches import smart_resize

if TYPE_CHECKING:
    from PIL.Image import Image

FACTOR = 32  # pixels of a token's side
MIN_TOKENS = 256
MAX_PIXELS = 12_845_056
SCALE = 1000  # of the coordinates

Region = tuple[float, float, float, float]


def region(box: Sequence[float], width: int, height: int) -> Region:
    """(left, top, right, bottom) in pixels of what a box shows. ValueError if that is nothing."""
    if not all(math.isfinite(each) for each in box):
        raise ValueError(f"bbox_2d {list(box)}: expected finite numbers from 0 to {SCALE}")
    left, right = max(0.0, box[0] / SCALE * width), min(float(width), box[2] / SCALE * width)
    top, bottom = max(0.0, box[1] / SCALE * height), min(float(height), box[3] / SCALE * height)
    if left >= right or top >= bottom:
        raise ValueError(
            f"bbox_2d {list(box)}: holds nothing of the image; expected [x1, y1, x2, y2] from 0 to "
            f"{SCALE} with x1 < x2 and y1 < y2"
        )
    if min(right - left, bottom - top) >= FACTOR:
        return left, top, right, bottom
    ratio = FACTOR / min(right - left, bottom - top)
    across = math.ceil(min(2 * width, (right - left) * ratio) * 0.5)  # a whole side is enough
    down = math.ceil(min(2 * height, (bottom - top) * ratio) * 0.5)
    x, y = (left + right) / 2, (top + bottom) / 2
    grown = (
        max(0, math.floor(x - across)),
        max(0, math.floor(y - down)),
        min(width, math.ceil(x + across)),
        min(height, math.ceil(y + down)),
    )
    is_large = grown[2] - grown[0] > FACTOR and grown[3] - grown[1] > FACTOR
    return grown if is_large else (left, top, right, bottom)


def crop(image: "Image", box: Sequence[float], min_tokens: int = MIN_TOKENS) -> "Image":
    """What the tool shows of an image. ValueError for a box that shows nothing, or is too thin."""
    bicubic = need("PIL.Image").Resampling.BICUBIC
    left, top, right, bottom = region(box, *image.size)
    rows, columns = smart_resize(
        bottom - top, right - left, FACTOR, min_tokens * FACTOR**2, MAX_PIXELS
    )
    x, y = round(left), round(top)
    edges = x, y, max(round(right), x + 1), max(round(bottom), y + 1)
    return image.crop(edges).resize((columns, rows), bicubic)
