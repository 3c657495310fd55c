"""Boxes and points in a text, in Qwen3-VL's coordinates: 0 to 1000 on each side of the image.

Accepted forms: {"bbox_2d": [left, top, right, bottom], "label": "..."} and "point_2d": [x, y], in a code
fence, bare or in prose, truncated or with an extra comma, also inside a box; lists of four numbers without an
object; numbers as strings, with a trailing point, or with spaces between them; named corners ("x1", "xmin",
"left"); and the (left,top),(right,bottom) of earlier Qwen models. Values in brackets count whatever their key is.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

LARGEST = 1000  # coordinate

_N = r"[-+]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})"  # longer numbers are not coordinates
_V = rf"[\"']?\s*({_N})\s*[\"']?"
_BETWEEN = r"(?:\s*[,;，；]\s*|\s+)"
_OPEN, _CLOSE = r"[\[(（【]\s*", r"\s*[,，]?\s*[\])）】]"
_PAIR = rf"{_OPEN}{_V}{_BETWEEN}{_V}{_CLOSE}"
_BOX = re.compile(
    rf"{_OPEN}{_V}{_BETWEEN}{_V}{_BETWEEN}{_V}{_BETWEEN}{_V}{_CLOSE}|{_PAIR}\s*(?:[,，]\s*)?{_PAIR}"
)
_POINT = re.compile(_PAIR)
_PLAIN = re.compile(
    rf"\s*{_N}(?:[\s,，]+{_N}){{1,3}}\s*[,.，。]?\s*"
)  # 10, 20, 30, 40 without brackets or other text
_CORNERS = (
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("left", "top", "right", "bottom"),
)
_NAMED = re.compile(rf"[\"']?\b(x_?(?:[12]|min|max)|y_?(?:[12]|min|max)|left|top|right|bottom|x|y)[\"']?\s*[:=]\s*{_V}", re.IGNORECASE)  # fmt: skip
_OBJECT = re.compile(r"\{[^{}]*\}")  # an object without objects in it
_LABEL = re.compile(
    r"[\"'](?:label|name|category)[\"']\s*:\s*(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)')"
)

Box = tuple[float, float, float, float]  # left, top, right, bottom
Point = tuple[float, float]  # x, y


class Located(NamedTuple):
    """A box or a point, and its label ("" without one)."""

    place: tuple[float, ...]
    label: str


def boxes_in(text: str) -> list[Located]:
    """Every box of a text, including boxes with crossed corners or corners outside the image."""
    return _located(text, _BOX, 4)


def points_in(text: str) -> list[Located]:
    """Every point of a text."""
    return _located(text, _POINT, 2)


def _located(text: str, pattern: re.Pattern[str], length: int) -> list[Located]:
    found, rest, position = [], [], 0
    for one in _OBJECT.finditer(text):
        places = list(_places(one[0], pattern)) or _named(one[0], length)
        if places:
            name = _LABEL.search(one[0])
            label = (name[1] or name[2] or "") if name else ""
            found += [Located(place, label) for place in places]
            rest.append(text[position : one.start()])
            position = one.end()
    rest.append(text[position:])
    found += [Located(place, "") for place in _places(" ; ".join(rest), pattern)]
    if not found and _PLAIN.fullmatch(text):
        values = tuple(float(value) for value in re.findall(_N, text.strip().rstrip(",.，。")))
        found = [Located(values, "")] if len(values) == length else []
    return found


def _places(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[float, ...]]:
    for groups in pattern.findall(text):
        yield tuple(float(value) for value in groups if value)


def _named(text: str, length: int) -> list[tuple[float, ...]]:
    """The box of an object whose corners have names, or the point whose coordinates have; else nothing."""
    found = {name.lower().replace("_", ""): float(value) for name, value in _NAMED.findall(text)}
    for names in _CORNERS if length == 4 else [("x", "y")]:
        if found.keys() >= set(names):
            return [tuple(found[name] for name in names)]
    return []


def references(answer: Any) -> list[Located]:
    """The boxes and points of a reference, with their corners in order; anything else is left out.

    A reference is a list of numbers, an object with bbox_2d or point_2d, a list of these, or a text.
    """
    if isinstance(answer, str):
        return [_ordered(one) for one in boxes_in(answer) or points_in(answer)]
    if isinstance(answer, dict):
        place = answer.get("bbox_2d", answer.get("point_2d"))
        return [one._replace(label=str(answer.get("label") or "")) for one in references(place)]
    if not isinstance(answer, list):
        return []
    if answer and all(
        isinstance(value, str) and re.fullmatch(_N, value.strip()) for value in answer
    ):
        answer = [float(value) for value in answer]
    if len(answer) in (2, 4) and all(_is_number(value) for value in answer):
        return [_ordered(Located(tuple(float(value) for value in answer), ""))]
    return [each for one in answer for each in references(one)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordered(one: Located) -> Located:
    """A box with its corners as left, top, right, bottom; a point as it is."""
    if len(one.place) == 2:
        return one
    left, top, right, bottom = one.place
    return one._replace(
        place=(min(left, right), min(top, bottom), max(left, right), max(top, bottom))
    )


def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union of two boxes; 0 if either has no area or crossed corners."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0 or _area(a) <= 0 or _area(b) <= 0:
        return 0.0
    both = width * height
    return both / (_area(a) + _area(b) - both)


def inside(point: tuple[float, ...], box: tuple[float, ...]) -> bool:
    """Whether a point lies in a box or on its edge."""
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _area(box: tuple[float, ...]) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
