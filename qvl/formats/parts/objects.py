"""ms-swift's objects: what fills <ref-object> and <bbox> in the texts of a row, in their order.

A box is written in thousandths of its image, as Qwen3-VL reads and writes it (report, section 3.2.3:
"relative coordinates scaled to [0, 1000]"): [x1, y1, x2, y2], or [x, y] for a point. `bbox_type` says
how a row gives them: in pixels ("real", the default) or as fractions ("norm1"); `image_id` of which
image each is, by default of the first.
"""

import re
from typing import Any

from qvl.formats.context import Context
from qvl.media import images, references
from qvl.media.errors import MediaError

MARK = re.compile(r"<(ref-object|bbox)>")
FULL = 1000


class RowObjects:
    """The objects of a row, taken in the order of their placeholders."""

    def __init__(self, row: dict, media: list[Any], context: Context) -> None:
        self._context, self._media = context, media
        objects = row.get("objects")
        self._objects = objects if isinstance(objects, dict) else None
        self._names = self._listed("ref")
        self._boxes = self._listed("bbox")
        self._taken = {"ref-object": 0, "bbox": 0}

    def fill(self, text: Any) -> Any:
        """A text with its placeholders replaced; anything else unchanged."""
        if self._objects is None or not isinstance(text, str):
            return text
        return MARK.sub(lambda match: self._next(match[1]), text)

    def check(self) -> None:
        """Raise CannotConvert if there are fewer placeholders than boxes, and some."""
        taken = self._taken["bbox"]
        if taken and taken != len(self._boxes):
            raise self._context.error(f"{taken} <bbox> in the text, but {len(self._boxes)} boxes")

    def _listed(self, name: str) -> list[Any]:
        found = (self._objects or {}).get(name) or []
        if not isinstance(found, list):
            raise self._context.error(f"objects.{name}: expected a list")
        return found

    def _next(self, kind: str) -> str:
        found = self._names if kind == "ref-object" else self._boxes
        index = self._taken[kind]
        self._taken[kind] += 1
        if index >= len(found):
            raise self._context.error(f"more <{kind}> in the text than the {len(found)} in objects")
        if kind == "ref-object":
            return str(found[index])
        return "[" + ", ".join(map(str, self._scaled(found[index], index))) + "]"

    def _scaled(self, box: Any, index: int) -> list[int]:
        """A box in thousandths."""
        numbers = isinstance(box, list) and all(type(each) in (int, float) for each in box)
        if not numbers or len(box) not in (2, 4):
            raise self._context.error(f"objects.bbox[{index}]: expected 2 or 4 numbers")
        kind = (self._objects or {}).get("bbox_type") or "real"
        if kind not in ("real", "norm1"):
            raise self._context.error(f"objects.bbox_type {kind!r}: expected real or norm1")
        width, height = self._size(index) if kind == "real" else (1, 1)
        sides = (width, height) * 2
        return [round(each / side * FULL) for each, side in zip(box, sides, strict=False)]

    def _size(self, index: int) -> tuple[int, int]:
        """The (width, height) of the image of a box."""
        ids = self._listed("image_id")
        number = ids[index] if index < len(ids) else 0
        if type(number) is not int or not 0 <= number < len(self._media):
            raise self._context.error(f"objects.bbox[{index}]: there is no image {number!r}")
        medium, context = self._media[number], self._context
        content = medium.get("bytes") if isinstance(medium, dict) else None
        reference = context.reference(medium)
        try:
            if not isinstance(content, bytes):
                content = references.read(
                    reference, context.media_root, allow_remote=context.allow_remote
                )
            return images.peek(content, reference)
        except MediaError as error:
            raise context.error(f"a box in pixels needs the size of its image: {error}") from None
