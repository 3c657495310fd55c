"""A sheet of example images, each with its question and the answer that a model gave."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qvl.errors import UserError, need
from qvl.media import images
from qvl.media.errors import MediaError, of_record
from qvl.record import images as images_of
from qvl.record import question

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE, WIDTH, HEIGHT = 144, 192, 196  # pixels: of an image, and of its cell with the text
MARGIN, LINE, POINTS, LETTERS = 10, 16, 13, 28  # pixels; letters per line
RIGHT = 0.5  # from this reward on, as in qvl.reward
GREEN, RED, BLACK, WHITE = (20, 120, 50), (190, 40, 40), (30, 30, 30), (255, 255, 255)


def chosen(records: Iterable[dict], columns: int) -> list[list[dict]]:
    """The first `columns` records with one image of each source, a row a source, by name.

    The first, not the best: what a model answers wrongly is shown as often as it happens.
    """
    rows: dict[str, list[dict]] = defaultdict(list)
    for record in records:
        row = rows[str(record.get("source"))]
        if len(row) < columns and len(images_of(record)) == 1:
            row.append(record)
    return [rows[name] for name in sorted(rows) if rows[name]]


def sheet(rows: list[list[dict]], media_root: Path, *, allow_remote: bool = False) -> "Image":
    """Draw records with their first response: green where its reward is right, red where it is not,
    then with the reference; without a response, the reference. Its boxes are drawn into the image.

    UserError if there is nothing to draw.
    """
    if not rows:
        raise UserError("no record has an image of its own; expected the output of qvl eval")
    pillow, pen = need("PIL.Image"), need("PIL.ImageDraw")
    wide = max(map(len, rows)) * (WIDTH + MARGIN) + MARGIN
    tall = len(rows) * (HEIGHT + MARGIN) + MARGIN
    page = pillow.new("RGB", (wide, tall), WHITE)
    draw = pen.Draw(page)
    for down, row in enumerate(rows):
        for across, record in enumerate(row):
            corner = MARGIN + across * (WIDTH + MARGIN), MARGIN + down * (HEIGHT + MARGIN)
            reference = images_of(record)[0]
            try:
                image = images.load(reference, media_root, allow_remote=allow_remote)
            except MediaError as error:
                raise of_record(record, error) from None
            _cell(page, draw, corner, record, image)
    return page


def _cell(page: "Image", draw: Any, corner: tuple[int, int], record: dict, image: "Image") -> None:
    pillow, fonts = need("PIL.Image"), need("PIL.ImageFont")
    font = fonts.load_default(POINTS)
    left, top = corner
    page.paste(image.resize((SIDE, SIDE), pillow.Resampling.NEAREST), corner)
    reference = record.get("answer")
    lines = [(BLACK, question(record))]
    if record.get("responses"):
        response = record["responses"][0]
        right = (response.get("reward") or 0) >= RIGHT
        hue = GREEN if right else RED
        found = (response.get("verdict") or {}).get("extracted")
        lines.append((hue, _short(response.get("content"), found)))
        if not right:
            lines.append((BLACK, f"not {_short(reference, reference)}"))
    else:
        hue, found = BLACK, reference
        lines.append((hue, _short(reference, reference)))
    for box in _boxes(found):
        edges = [round(edge * SIDE / 1000) for edge in box]
        around = (left + edges[0] - 3, top + edges[1] - 3, left + edges[2] + 2, top + edges[3] + 2)
        draw.rectangle(around, None, hue, width=2)
    for number, (ink, text) in enumerate(lines):
        shown = text if len(text) <= LETTERS else text[: LETTERS - 2] + ".."
        draw.text((left, top + SIDE + 3 + number * LINE), shown, fill=ink, font=font)


def _boxes(value: Any) -> list[list[float]]:
    """The boxes of Qwen3-VL's JSON; none where it is another answer."""
    items = value if isinstance(value, list) else []
    return [item["bbox_2d"] for item in items if isinstance(item, dict) and "bbox_2d" in item]


def _short(text: Any, value: Any) -> str:
    """An answer in a line: a box by its numbers."""
    boxes = _boxes(value)
    numbers = [[round(edge) for edge in box] for box in boxes]
    return " ".join(map(str, numbers)) if boxes else " ".join(str(text or "").split())
