"""ms-swift: messages with <image> and <video> in their text, lists of images and videos beside.

Tool calls are turns of role tool_call, one a call, their content {"name", "arguments"} as JSON; what
a tool said is a turn of role tool. Columns such as objects and rejected_response go through.
"""

from typing import Any

from qvl.formats import placeholders, thinking, tools
from qvl.formats.trade import Trade, with_id

CONTAINER = "jsonl"
ROLES = {"tool_response": "tool"}


def to_record(row: dict, trade: Trade) -> dict:
    if not isinstance(row.get("messages"), list):
        raise trade.wrong("no messages")
    media = placeholders.media_of(row, trade)
    messages: list[dict] = []
    for turn in row["messages"]:
        role = ROLES.get(turn.get("role"), turn.get("role"))
        if role == "tool_call":
            tools.append_call(messages, turn["content"], trade)
            continue
        content = placeholders.to_parts(turn.get("content") or "", media, trade)
        rest = {k: v for k, v in turn.items() if k not in ("role", "content")}
        messages.append(thinking.unfold({"role": role, "content": content, **rest}, trade))
    placeholders.check_spent(media, trade)
    record = {k: v for k, v in row.items() if k not in ("images", "videos", "messages")}
    if "tools" in record:
        record["tools"] = tools.parse_schemas(record["tools"], trade)
    return with_id({**record, "messages": messages}, trade)


def to_row(record: dict, trade: Trade) -> dict:
    media: dict[str, list[str]] = {kind: [] for kind in placeholders.KINDS}
    turns: list[dict[str, Any]] = []
    for message in record["messages"]:
        text = placeholders.to_text(message.get("content"), media, trade)
        text = thinking.fold(message, text, trade)
        known = ("role", "content", "reasoning_content", "tool_calls")
        rest = {k: v for k, v in message.items() if k not in known}
        calls = message.get("tool_calls") or []
        if text or not calls:
            turns.append({"role": message["role"], "content": text, **rest})
        turns += [{"role": "tool_call", "content": tools.call_text(c, trade)} for c in calls]
    row = {**record, "messages": turns}
    if "tools" in record:
        row["tools"] = tools.schemas_text(record["tools"])
    for kind, found in media.items():
        if found:
            row[kind + "s"] = found
    return row
