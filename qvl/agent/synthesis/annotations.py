"""Objects of annotated images: COCO-style JSON, records with `objects`, or records whose answer is boxes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import orjson

from qvl.errors import UserError
from qvl.media.zoom import SCALE
from qvl.record import images


@dataclass(frozen=True)
class Thing:
    """An object in an image."""

    label: str
    box: tuple[float, float, float, float]
    """Left, top, right, bottom in thousandths."""
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    """What is written on it."""
    crowd: bool = False
    """Several that were not told apart."""

    @property
    def area(self) -> float:
        """As a share of the image."""
        left, top, right, bottom = self.box
        return max(0.0, right - left) * max(0.0, bottom - top) / SCALE**2


def things(record: dict[str, Any]) -> tuple[str, list[Thing]]:
    """(reference of the image, its objects) of a record. ValueError if it has not one image, or no objects."""
    shown = images(record)
    if len(shown) != 1:
        raise ValueError(f"{len(shown)} images; expected one")
    rows = record.get("objects")
    if rows is None:
        rows = record.get("answer")
    if not isinstance(rows, list) or not rows:
        raise ValueError("no objects; expected a list of {label, bbox_2d}")
    return shown[0], [_thing(row, place) for place, row in enumerate(rows)]


def _thing(row: Any, place: int) -> Thing:
    where = f"objects[{place}]"
    if not isinstance(row, dict) or not isinstance(row.get("label"), str) or not row["label"]:
        raise ValueError(f"{where}: expected an object with a label")
    box = row.get("bbox_2d")
    if not _is_box(box):
        raise ValueError(f"{where}.bbox_2d: expected [x1, y1, x2, y2] in thousandths")
    attributes = row.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise ValueError(f"{where}.attributes: expected an object")
    return Thing(
        row["label"],
        (box[0], box[1], box[2], box[3]),
        {
            str(name): str(value)
            for name, value in attributes.items()
            if isinstance(value, str | int)
        },
        str(row.get("text") or ""),
        bool(row.get("crowd")),
    )


def _is_box(box: Any) -> TypeGuard[list[float]]:
    if not isinstance(box, list) or len(box) != 4:
        return False
    return all(type(x) in (int, float) for x in box) and box[0] < box[2] and box[1] < box[3]


class CocoReader:
    """The images of COCO-style JSON files as records; used like qvl.io.jsonl.Reader."""

    def __init__(self, paths: Sequence[str], on_bad: object = None) -> None:
        self.paths = list(paths)
        self.number, self.bytes_read = 0, 0
        self.bytes_total = None
        self.sources: list[dict[str, Any]] = []

    @property
    def place(self) -> str:
        return f"{self.sources[-1]['name']}: image {self.number}"

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for path in self.paths:
            source: dict[str, Any] = {"name": path, "records": 0, "lineage": []}
            self.sources.append(source)
            self.number = 0
            for record in of_coco(Path(path)):
                self.number += 1
                source["records"] += 1
                yield record


def of_coco(path: Path) -> Iterator[dict[str, Any]]:
    """A record per image of a COCO-style JSON file, in the order of its images.

    Beside COCO's own fields, annotations may have `attributes`, an object, and the text on the object as
    `utf8_string` (COCO-Text) or `text`. UserError if the file is not of this form.
    """
    try:
        content = orjson.loads(path.read_bytes())
        names = {each["id"]: each["name"] for each in content["categories"]}
        rows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for each in content["annotations"]:
            rows[each["image_id"]].append(each)
        shown = content["images"]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: not COCO's JSON, with images, annotations and categories: {error!r}"
        ) from None
    for image in shown:
        try:
            size = image["width"], image["height"]
            objects = [_of_annotation(each, names, size) for each in rows[image["id"]]]
            name = image["file_name"]
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise UserError(f"{path}: image {image.get('id')!r}: {error!r}") from None
        yield {
            "id": f"{path.stem}-{image['id']}",
            "messages": [{"role": "user", "content": [{"type": "image", "image": name}]}],
            "objects": objects,
            "source": path.stem,
        }


def _of_annotation(
    row: dict[str, Any], names: dict[Any, str], size: tuple[float, float]
) -> dict[str, Any]:
    x, y, width, height = row["bbox"]
    sides = (x, size[0]), (y, size[1]), (x + width, size[0]), (y + height, size[1])
    found: dict[str, Any] = {
        "label": names[row["category_id"]],
        "bbox_2d": [round(SCALE * edge / side) for edge, side in sides],
    }
    if row.get("attributes"):
        found["attributes"] = row["attributes"]
    text = row.get("utf8_string") or row.get("text")
    if text:
        found["text"] = text
    if row.get("iscrowd"):
        found["crowd"] = True
    return found
