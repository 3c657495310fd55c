"""TRL: messages, or prompt and completion, as chats or plain strings; images in a column beside.

Of a chat with images every content is a list of parts, {"type": "image"} standing for the next of
`images`. There are no videos.
"""

from collections.abc import Iterator
from typing import Any

from qvl.formats import placeholders
from qvl.formats.trade import Trade, with_id

CONTAINER = "jsonl"


def to_record(row: dict, trade: Trade) -> dict:
    if "messages" in row:
        turns = row["messages"]
    elif isinstance(row.get("prompt"), list):
        turns = [*row["prompt"], *(row.get("completion") or [])]
    elif isinstance(row.get("prompt"), str):
        turns = [{"role": "user", "content": row["prompt"]}]
        if row.get("completion") is not None:
            turns.append({"role": "assistant", "content": row["completion"]})
    else:
        raise trade.wrong("neither messages nor a prompt")
    media = placeholders.media_of({k: row.get(k) for k in ("images", "image")}, trade)
    messages = [_from(turn, media["image"], trade) for turn in turns]
    placeholders.leading(media, messages)
    used = ("messages", "prompt", "completion", "images", "image")
    return with_id({**{k: v for k, v in row.items() if k not in used}, "messages": messages}, trade)


def to_row(record: dict, trade: Trade) -> dict:
    media: list[str] = []
    turns = [_to(message, media, trade) for message in record["messages"]]
    if media:
        turns = [{**t, "content": _as_parts(t.get("content"))} for t in turns]
    row = {**record, "messages": turns}
    if media:
        row["images"] = media
    return row


def _from(turn: dict, images: Iterator[str], trade: Trade) -> dict:
    # Parquet gives every field that some row has: null says that this one has none.
    turn = {k: v for k, v in turn.items() if v is not None or k == "content"}
    content = turn.get("content")
    if not isinstance(content, list | tuple):
        return turn
    parts: list[dict[str, Any]] = []
    for part in content:
        kind = part.get("type")
        if kind == "image":
            reference = part.get("image")
            reference = next(images, None) if reference is None else trade.reference(reference)
            if reference is None:
                raise trade.wrong("more image parts than images")
            parts.append({"type": "image", "image": reference})
        elif kind == "text":
            parts.append({"type": "text", "text": part.get("text") or ""})
        else:
            raise trade.wrong(f"a part of type {kind!r}")
    if not parts:
        return {**turn, "content": None if turn.get("tool_calls") else ""}
    alone = len(parts) == 1 and parts[0]["type"] == "text"
    return {**turn, "content": parts[0]["text"] if alone else parts}


def _to(message: dict, media: list[str], trade: Trade) -> dict:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    if [part["type"] for part in content] in (["text"], []):
        trade.lose("the borders between text parts")
    parts = []
    for part in content:
        kind = part["type"]
        if kind == "video":
            trade.lose("a video")
            continue
        for extra in part.keys() - {"type", kind}:
            trade.lose(f"{extra!r} of a part")
        if kind == "image":
            media.append(part["image"])
        parts.append({"type": "image"} if kind == "image" else part)
    return {**message, "content": parts}


def _as_parts(content: Any) -> list[dict]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
