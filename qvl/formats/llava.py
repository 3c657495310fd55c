"""LLaVA, and what Qwen's own fine-tuning scripts read: conversations from human and gpt.

image and video are a path or a list of paths. There is no system turn and there are no tools.
"""

from typing import Any

from qvl.formats import placeholders, sharegpt
from qvl.formats.trade import Trade, with_id

CONTAINER = "json"
ROLES = {"human": "user", "gpt": "assistant"}
NAMES = {role: name for name, role in ROLES.items()}


def to_record(row: dict, trade: Trade) -> dict:
    turns = row.get("conversations")
    if not isinstance(turns, list):
        raise trade.wrong("no conversations")
    media = placeholders.media_of(row, trade)
    messages = sharegpt.messages(turns, ROLES, media, trade)
    placeholders.check_spent(media, trade)
    used = ("conversations", "image", "images", "video", "videos")
    return with_id({**{k: v for k, v in row.items() if k not in used}, "messages": messages}, trade)


def to_row(record: dict, trade: Trade) -> dict:
    media: dict[str, list[str]] = {kind: [] for kind in placeholders.KINDS}
    turns: list[dict[str, Any]] = []
    for message in record["messages"]:
        if message["role"] not in NAMES:
            trade.lose(f"a {message['role']} turn")
            continue
        if message.get("tool_calls"):
            trade.lose("tool_calls")
        turns.append(sharegpt.turn(message, NAMES[message["role"]], media, trade))
    if "tools" in record:
        trade.lose("tools")
    row = {k: v for k, v in record.items() if k not in ("messages", "tools")}
    for kind, found in media.items():
        if found:
            row[kind] = found[0] if len(found) == 1 else found
    return {**row, "conversations": turns}
