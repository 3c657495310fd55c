"""TRL: messages, or prompt and completion, as chats or plain strings; images in a column beside.

Of a chat with images every content is a list of parts, {"type": "image"} standing for the next of
`images`; of a chat without, contents stay strings. There are no videos. chosen, rejected and label
go through.
"""

from typing import Any

from qvl.formats.context import Trade, with_id
from qvl.formats.parts import placeholders, validate

CONTAINER = "jsonl"
USED = ("prompt", "completion", "images", "image")


def to_record(row: dict, trade: Trade) -> dict:
    media = placeholders.Media(row, trade, kinds=("image",))
    messages = [_from(turn, media, trade) for turn in _turns(row, trade)]
    rest = list(media.untouched("image"))
    if rest:
        _lead(messages, rest, trade)
    media.check()
    record = {k: v for k, v in row.items() if k not in ("messages", *USED)}
    return with_id({**record, "messages": messages}, trade)


def _turns(row: dict, trade: Trade) -> list[dict]:
    if row.get("messages") is not None:
        return validate.turns(row, "messages", "role", trade)
    prompt, completion = row.get("prompt"), row.get("completion")
    if prompt is None:
        raise trade.wrong("neither messages nor a prompt")
    if isinstance(prompt, str):
        turns = [{"role": "user", "content": prompt}]
    else:
        turns = validate.turns(row, "prompt", "role", trade)
    if isinstance(completion, str):
        return [*turns, {"role": "assistant", "content": completion}]
    return turns if completion is None else turns + validate.turns(row, "completion", "role", trade)


def _from(turn: dict, media: placeholders.Media, trade: Trade) -> dict:
    # Parquet gives every field that some row has: null says that this one has none.
    turn = {k: v for k, v in turn.items() if v is not None or k == "content"}
    content = turn.get("content")
    if not isinstance(content, list | tuple):
        return turn
    parts = [part for given in content if (part := _part(given, media, trade))]
    if not parts:
        return {**turn, "content": None if turn.get("tool_calls") else ""}
    alone = len(parts) == 1 and parts[0].keys() == {"type", "text"}
    return {**turn, "content": parts[0]["text"] if alone else parts}


def _part(part: Any, media: placeholders.Media, trade: Trade) -> dict | None:
    part = {k: v for k, v in validate.mapping(part, "a part", trade).items() if v is not None}
    kind = part.get("type")
    if kind == "text":
        return {**part, "text": validate.text(part.get("text"), "a part's text", trade)}
    if kind != "image":
        raise trade.wrong(f"a part of type {kind!r}")
    reference = trade.reference(part["image"]) if "image" in part else media.take("image")
    return {**part, "image": reference} if reference is not None else None


def _lead(messages: list[dict], references: list[str], trade: Trade) -> None:
    """Put images that no part stands for before the text of the first user turn, as TRL does."""
    message = next((m for m in messages if m["role"] == "user"), None)
    if message is None:
        raise trade.wrong("images, but no user turn")
    content = validate.text(message["content"], "the content of a turn", trade)
    images = [{"type": "image", "image": reference} for reference in references]
    message["content"] = [*images, {"type": "text", "text": content}]


def to_row(record: dict, trade: Trade) -> dict:
    media: list[str] = []
    turns = [_to(message, media, trade) for message in record["messages"]]
    if media:
        turns = [{**t, "content": _as_parts(t.get("content"))} for t in turns]
    for field in USED:
        if field in record:
            trade.lose(f"a field named {field!r}")
    row = {k: v for k, v in record.items() if k not in USED} | {"messages": turns}
    return row | {"images": media} if media else row


def _to(message: dict, media: list[str], trade: Trade) -> dict:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    parts = []
    for part in content:
        if part["type"] == "video":
            trade.lose("a video")
        elif part["type"] == "image":
            media.append(part["image"])
            parts.append({k: v for k, v in part.items() if k != "image"})
        else:
            parts.append(part)
    return {**message, "content": parts}


def _as_parts(content: Any) -> list[dict]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
