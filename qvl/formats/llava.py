"""LLaVA, also read by Qwen's fine-tuning scripts: conversations from human and gpt.

image and video are a path or a list of paths; Qwen's loader looks for <image> in human turns only.
There are no system turns and no tools. <image> stands on a line of its own, whose break is no part
of the text: Qwen's loader strips it, and so does this.
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
    messages = [_trimmed(sharegpt.message(turn, ROLES, media, context)) for turn in turns]
    media.check()
    rest = {k: v for k, v in row.items() if k not in USED}
    return with_id({**rest, "messages": messages}, context)


def _trimmed(message: dict) -> dict:
    """A message without the line breaks between its images or videos and its text."""
    parts = message.get("content")
    if not isinstance(parts, list):
        return message
    trimmed = []
    for index, part in enumerate(parts):
        if part["type"] == "text":
            text = part["text"]
            text = text.lstrip("\n") if index > 0 else text
            text = text.rstrip("\n") if index < len(parts) - 1 else text
            if not text:
                continue
            part = {**part, "text": text}
        trimmed.append(part)
    return {**message, "content": trimmed}


def _joined(message: dict) -> dict:
    """A message with text parts in a row as one, and none that is empty."""
    parts = message.get("content")
    if not isinstance(parts, list):
        return message
    joined: list[dict] = []
    for part in parts:
        if part["type"] == "text" and joined and joined[-1]["type"] == "text":
            joined[-1] = {**joined[-1], "text": joined[-1]["text"] + part["text"]}
        elif part["type"] != "text" or part["text"]:
            joined.append(part)
    return {**message, "content": joined}


def _with_breaks(message: dict) -> dict:
    """A message with the line breaks that LLaVA has after its images and videos."""
    parts = message.get("content")
    if not isinstance(parts, list):
        return message
    kinds = ["text", *(part["type"] for part in parts)]  # that of the part before each
    return {
        **message,
        "content": [
            {**part, "text": "\n" + part["text"]}
            if part["type"] == "text" and before != "text"
            else part
            for part, before in zip(parts, kinds, strict=False)
        ],
    }


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
        message = _joined(message)
        if _trimmed(message) != message:
            context.unsupported("a line break beside an image or video")
        message = _with_breaks(message)
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
