"""LLaVA, and what Qwen's own fine-tuning scripts read: conversations from human and gpt.

image and video are a path or a list of paths; Qwen's loader looks for <image> in human turns only.
There is no system turn and there are no tools.
"""

from typing import Any

from qvl.formats.context import Trade, with_id
from qvl.formats.parts import placeholders, sharegpt, validate

CONTAINER = "json"
ROLES = {"human": "user", "gpt": "assistant"}
NAMES = {role: name for name, role in ROLES.items()}
USED = ("conversations", "image", "images", "video", "videos")


def to_record(row: dict, trade: Trade) -> dict:
    media = placeholders.Media(row, trade)
    turns = validate.turns(row, "conversations", "from", trade)
    messages = [sharegpt.message(turn, ROLES, media, trade) for turn in turns]
    media.check()
    rest = {k: v for k, v in row.items() if k not in USED}
    return with_id({**rest, "messages": messages}, trade)


def to_row(record: dict, trade: Trade) -> dict:
    media = placeholders.collector()
    turns: list[dict[str, Any]] = []
    for message in record["messages"]:
        if message["role"] not in NAMES:
            trade.lose(f"a {message['role']} turn")
            continue
        if "tool_calls" in message:
            trade.lose("tool_calls")
        if message["role"] == "assistant":
            message = _without_media(message, trade)
        turns.append(sharegpt.turn(message, NAMES[message["role"]], media, trade))
    if "tools" in record:
        trade.lose("tools")
    for field in USED:
        if field in record:
            trade.lose(f"a field named {field!r}")
    row = {k: v for k, v in record.items() if k not in ("messages", "tools", *USED)}
    for kind, found in media.items():
        if found:
            row[kind] = found[0] if len(found) == 1 else found
    return {**row, "conversations": turns}


def _without_media(message: dict, trade: Trade) -> dict:
    content = message.get("content")
    if not isinstance(content, list) or all(part["type"] == "text" for part in content):
        return message
    for part in content:
        if part["type"] != "text":
            trade.lose(f"a {part['type']} in an assistant turn")
    text = "".join(part["text"] for part in content if part["type"] == "text")
    return {**message, "content": text}
