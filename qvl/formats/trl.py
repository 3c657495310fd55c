"""TRL: messages, or prompt and completion, as chats or plain strings; images in a separate column.

In a chat with images every content is a list of parts, and {"type": "image"} is the next of `images`;
without images, contents are strings. There are no videos. chosen, rejected and label are copied.
"""

from typing import Any

from qvl.formats.context import Context, with_id
from qvl.formats.parts import placeholders, tools, validate

CONTAINER = "jsonl"
USED = ("prompt", "completion", "images", "image")


def to_record(row: dict, context: Context) -> dict:
    media = placeholders.RowMedia(row, context, kinds=("image",))
    messages = [_from(turn, media, context) for turn in _turns(row, context)]
    rest = list(media.unclaimed("image"))
    if rest:
        _lead(messages, rest, context)
    media.check()
    record = {k: v for k, v in row.items() if k not in ("messages", *USED)}
    return with_id({**tools.with_schemas(record, context), "messages": messages}, context)


def _turns(row: dict, context: Context) -> list[dict]:
    if row.get("messages") is not None:
        return validate.turns(row, "messages", "role", context)
    prompt, completion = row.get("prompt"), row.get("completion")
    if prompt is None:
        raise context.error("neither messages nor a prompt")
    if isinstance(prompt, str):
        turns = [{"role": "user", "content": prompt}]
    else:
        turns = validate.turns(row, "prompt", "role", context)
    if isinstance(completion, str):
        return [*turns, {"role": "assistant", "content": completion}]
    return (
        turns if completion is None else turns + validate.turns(row, "completion", "role", context)
    )


def _from(turn: dict, media: placeholders.RowMedia, context: Context) -> dict:
    # In parquet each row has the fields of all rows: null is an absent field.
    turn = {k: v for k, v in turn.items() if v is not None or k == "content"}
    content = turn.get("content")
    if not isinstance(content, list | tuple):
        return turn
    parts = [part for given in content if (part := _part(given, media, context))]
    if not parts:
        return {**turn, "content": None if turn.get("tool_calls") else ""}
    alone = len(parts) == 1 and parts[0].keys() == {"type", "text"}
    return {**turn, "content": parts[0]["text"] if alone else parts}


def _part(part: Any, media: placeholders.RowMedia, context: Context) -> dict | None:
    part = {k: v for k, v in validate.mapping(part, "a part", context).items() if v is not None}
    kind = part.get("type")
    if kind == "text":
        return {**part, "text": validate.text(part.get("text"), "a part's text", context)}
    if kind != "image":
        raise context.error(f"a part of type {kind!r}")
    reference = context.reference(part["image"]) if "image" in part else media.take("image")
    return {**part, "image": reference} if reference is not None else None


def _lead(messages: list[dict], references: list[str], context: Context) -> None:
    """Put images without a part before the text of the first user turn, as TRL does."""
    message = next((m for m in messages if m["role"] == "user"), None)
    if message is None:
        raise context.error("images, but no user turn")
    content = validate.text(message["content"], "the content of a turn", context)
    images = [{"type": "image", "image": reference} for reference in references]
    message["content"] = [*images, {"type": "text", "text": content}]


def to_row(record: dict, context: Context) -> dict:
    media: list[str] = []
    turns = [_to(message, media, context) for message in record["messages"]]
    if media:
        turns = [{**t, "content": _as_parts(t.get("content"))} for t in turns]
    row = context.without(record, USED) | {"messages": turns}
    return row | {"images": media} if media else row


def _to(message: dict, media: list[str], context: Context) -> dict:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    parts = []
    for part in content:
        if part["type"] == "video":
            context.unsupported("a video")
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
