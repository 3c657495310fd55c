"""A record as the page shows it: its media by number instead of content, boxes to draw, and no more of a
long text or list than a person reads."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from qvl.media.references import brief, is_data
from qvl.record import problems
from qvl.record.types import MEDIA
from qvl.reward import REWARDS
from qvl.reward.reading.boxes import Located, boxes_in, points_in, references
from qvl.view import rows

MAX_TEXT = 200_000  # characters of a text; a page with more is slow
MAX_ITEMS = 500  # of a list; token ids are shown as tokens
MAX_NODES = 20_000  # values of a record
MAX_READ = 50_000  # characters in which boxes are looked for
MAX_MARKS = 200
GROUNDING = REWARDS["grounding"]


class Medium(NamedTuple):
    """An image or a video of a record."""

    kind: str
    reference: str | list[str]
    """A list: the frames of a video."""


def shown(record: dict[str, Any], number: int) -> dict[str, Any]:
    """A record for the page. `record` holds it, with `media` numbers in its parts; `marks` are boxes
    and points in thousandths of an image."""
    media = media_of(record)
    names = [_name(each) for each in media]
    found: dict[str, Any] = {
        "n": number,
        "record": Abridged()(_numbered(record)),
        "media": [
            {"kind": each.kind, "name": name} for each, name in zip(media, names, strict=True)
        ],
        "marks": marks(record),
    }
    if rows.is_pack(record):
        found["pack"] = rows.pack_facts(record)
    else:
        found["problems"] = [] if "line" in record else list(problems(record))[:20]
        responses = rows.responses_of(record)
        found["facts"] = rows.response_facts(responses)
        ids = [each.get("token_ids") for each in responses]
        found["tokens"] = [len(each) if isinstance(each, list) else 0 for each in ids]
    return found


def media_of(record: dict[str, Any]) -> list[Medium]:
    """The media of the messages, then of the messages of each response; of a packed line, its images."""
    if rows.is_pack(record):
        images = record.get("images")
        return [Medium("image", each) for each in images or () if isinstance(each, str)]
    return [
        Medium(part["type"], part[part["type"]])
        for messages in _conversations(record)
        for part in _media_parts(messages)
    ]


def marks(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Boxes and points: of the answer, of the last turn, of each response, and crops of tool calls.

    `image` is the number of the medium that they are on: the first image, or the one that a call names.
    """
    media = media_of(record)
    images = [place for place, each in enumerate(media) if each.kind == "image"]
    if not images or rows.is_pack(record):
        return []
    is_grounding = REWARDS.get(str(record.get("task"))) == GROUNDING
    found: list[dict[str, Any]] = []

    def add(kind: str, places: list[Located], **more: Any) -> None:
        for place, label in places:
            found.append(
                {"kind": kind, "place": place, "label": label[:80], "image": images[0], **more}
            )

    answer = record.get("answer")
    if is_grounding or _names_places(answer):
        add("answer", references(answer))
    for number, message in enumerate(_objects(record.get("messages"))):
        if message.get("role") == "assistant":
            add("turn", _places(message.get("content"), is_grounding), turn=number)
    for number, response in enumerate(rows.responses_of(record)):
        add("response", _places(response.get("content"), is_grounding), response=number)
    sent = _users_images(record)
    for index, messages in enumerate(_conversations(record)):
        for box, image in _crops(messages):
            if 0 <= image < len(sent):
                found.append({"kind": "crop", "place": box, "label": "", "image": sent[image]})
                if index:
                    found[-1]["response"] = index - 1
    return found[:MAX_MARKS]


def _conversations(record: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    yield _objects(record.get("messages"))
    for response in rows.responses_of(record):
        yield _objects(response.get("messages"))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _media_parts(messages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for message in messages:
        for part in _objects(message.get("content")):
            if _is_medium(part):
                yield part


def _is_medium(part: dict[str, Any]) -> bool:
    kind = part.get("type")
    if kind not in MEDIA:
        return False
    reference = part.get(kind)
    if kind == "video" and isinstance(reference, list):
        return bool(reference) and all(isinstance(each, str) for each in reference)
    return isinstance(reference, str)


def _users_images(record: dict[str, Any]) -> list[int]:
    """The numbers of the images that the user sent among the record's media: those that img_idx of a
    tool call counts (qvl.agent.tools)."""
    found, number = [], 0
    for message in _objects(record.get("messages")):
        for part in _media_parts([message]):
            if part["type"] == "image" and message.get("role") == "user":
                found.append(number)
            number += 1
    return found


def _numbered(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the number of each medium in its part."""
    count = iter(range(1 << 30))

    def messages_of(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [
            {**each, "content": [_part(part) for part in each["content"]]}
            if isinstance(each, dict) and isinstance(each.get("content"), list)
            else each
            for each in value
        ]

    def _part(part: Any) -> Any:
        if isinstance(part, dict) and _is_medium(part):
            return {**part, "media": next(count)}
        return part

    if rows.is_pack(record):
        return record
    copy = dict(record)
    if "messages" in copy:
        copy["messages"] = messages_of(copy["messages"])
    if isinstance(copy.get("responses"), list):
        copy["responses"] = [
            {**each, "messages": messages_of(each["messages"])}
            if isinstance(each, dict) and "messages" in each
            else each
            for each in copy["responses"]
        ]
    return copy


def _name(medium: Medium) -> str:
    reference = medium.reference
    if isinstance(reference, list):
        return f"{len(reference)} frames"
    return _data_name(reference) if is_data(reference) else brief(reference)


def _data_name(uri: str) -> str:
    head = uri[:60].partition(",")[0].partition(";")[0]
    return f"{head}, {max(len(uri) * 3 // 4000, 1):,} kB"


def _places(content: Any, is_grounding: bool) -> list[Located]:
    """The boxes and points of a text that is about places."""
    if not isinstance(content, str):
        texts = [part.get("text") for part in _objects(content) if part.get("type") == "text"]
        content = "\n".join(text for text in texts if isinstance(text, str))
    content = content[:MAX_READ]
    if not (is_grounding or _names_places(content)):
        return []
    return (boxes_in(content) or points_in(content))[:MAX_MARKS]


def _names_places(value: Any) -> bool:
    if isinstance(value, str):
        return "bbox_2d" in value or "point_2d" in value
    if isinstance(value, dict):
        return "bbox_2d" in value or "point_2d" in value
    return isinstance(value, list) and any(
        isinstance(one, dict) and _names_places(one) for one in value
    )


def _crops(messages: list[dict[str, Any]]) -> Iterator[tuple[list[float], int]]:
    """The box and the image's number of each tool call that has a box, as image_zoom_in_tool."""
    for message in messages:
        for call in _objects(message.get("tool_calls")):
            function = call.get("function")
            arguments = function.get("arguments") if isinstance(function, dict) else None
            if isinstance(arguments, str) and len(arguments) <= MAX_READ:
                try:
                    arguments = orjson.loads(arguments)
                except orjson.JSONDecodeError:
                    continue
            if not isinstance(arguments, dict):
                continue
            box, image = arguments.get("bbox_2d"), arguments.get("img_idx", 0)
            if (
                isinstance(box, list)
                and len(box) == 4
                and all(type(x) in (int, float) for x in box)
            ):
                yield box, image if isinstance(image, int) else 0


class Abridged:
    """Cuts what is too long out of a JSON value, and says how much it was."""

    def __init__(self) -> None:
        self._left = MAX_NODES

    def __call__(self, value: Any) -> Any:
        self._left -= 1
        if isinstance(value, str):
            if is_data(value):
                return f"{_data_name(value)} \u2026"
            if len(value) > MAX_TEXT:
                return f"{value[:MAX_TEXT]}\n\u2026 {len(value) - MAX_TEXT:,} more characters"
            return value
        if isinstance(value, list):
            most = min(MAX_ITEMS, max(self._left, 0))
            cut = [f"\u2026 {len(value) - most:,} more"] if len(value) > most else []
            return [self(one) for one in value[:most]] + cut
        if isinstance(value, dict):
            found = {}
            for place, (name, one) in enumerate(value.items()):
                if self._left <= 0 or place >= MAX_ITEMS:
                    found["\u2026"] = f"{len(value) - place:,} more fields"
                    break
                found[name[:MAX_READ]] = self(one)
            return found
        return value
