"""LLaVA, also read by Qwen's fine-tuning scripts: conversations from human and gpt.

image and video are a path or a list of paths; Qwen's loader looks for <image> in human turns only.
There are no system turns and no tools.
"""

from typing import Any

from qvl.formats.context import Context, with_id
from qvl.formats.parts import placeholders, sharegpt, validate

CONTAINER = "json"
ROLES = {"human": "user", "gpt": "assistant"}
NAMES = {role: name for name, role in ROLES.items()}
USED = ("conversations", "image", "images", "video", "videos")


def to_record(row: dict, context: Context) -> dict:
    media = placeholders.RowMedia(row, context)
    turns = validate.turns(row, "conversations", "from", context)
    messages = [sharegpt.message(turn, ROLES, media, context) for turn in turns]
    media.check()
    rest = {k: v for k, v in row.items() if k not in USED}
    return with_id({**rest, "messages": messages}, context)


def to_row(record: dict, context: Context) -> dict:
    media = placeholders.collector()
    turns: list[dict[str, Any]] = []
    for message in record["messages"]:
        if message["role"] not in NAMES:
            context.unsupported(f"a {message['role']} turn")
            continue
        if "tool_calls" in message:
            context.unsupported("tool_calls")
        if message["role"] == "assistant":
            message = _without_media(message, context)
        turns.append(sharegpt.turn(message, NAMES[message["role"]], media, context))
    if "tools" in record:
        context.unsupported("tools")
    row = context.without(record, USED)
    row = {k: v for k, v in row.items() if k not in ("messages", "tools")}
    for kind, found in media.items():
        if found:
            row[kind] = found[0] if len(found) == 1 else found
    return {**row, "conversations": turns}


def _without_media(message: dict, context: Context) -> dict:
    content = message.get("content")
    if not isinstance(content, list) or all(part["type"] == "text" for part in content):
        return message
    for part in content:
        if part["type"] != "text":
            context.unsupported(f"a {part['type']} in an assistant turn")
    text = "".join(part["text"] for part in content if part["type"] == "text")
    return {**message, "content": text}
