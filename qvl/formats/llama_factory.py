"""LLaMA-Factory's ShareGPT: conversations from human, gpt, function_call and observation.

system and tools are columns; images and videos stand as <image> and <video> in the text.
"""

from typing import Any

from qvl.formats import placeholders, sharegpt, tools
from qvl.formats.trade import Trade, with_id

CONTAINER = "json"
ROLES = {"human": "user", "gpt": "assistant", "observation": "tool", "system": "system"}
NAMES = {role: name for name, role in ROLES.items()}


def to_record(row: dict, trade: Trade) -> dict:
    turns = row.get("conversations")
    if not isinstance(turns, list):
        raise trade.wrong("no conversations")
    media = placeholders.media_of(row, trade)
    messages: list[dict] = []
    if row.get("system"):
        messages.append({"role": "system", "content": row["system"]})
    for turn in turns:
        if turn.get("from") == "function_call":
            tools.append_call(messages, turn.get("value"), trade)
        else:
            messages += sharegpt.messages([turn], ROLES, media, trade)
    placeholders.check_spent(media, trade)
    used = ("conversations", "system", "images", "videos")
    record = {k: v for k, v in row.items() if k not in used}
    if record.get("tools") in ("", None):
        record.pop("tools", None)
    else:
        record["tools"] = tools.parse_schemas(record["tools"], trade)
    return with_id({**record, "messages": messages}, trade)


def to_row(record: dict, trade: Trade) -> dict:
    media: dict[str, list[str]] = {kind: [] for kind in placeholders.KINDS}
    turns: list[dict[str, Any]] = []
    row = {k: v for k, v in record.items() if k != "messages"}
    for index, message in enumerate(record["messages"]):
        turn = sharegpt.turn(message, NAMES[message["role"]], media, trade)
        if index == 0 and message["role"] == "system" and turn["value"]:
            row["system"] = turn["value"]
            continue
        calls = message.get("tool_calls") or []
        if turn["value"] and calls:
            trade.lose("text and a tool call in one turn")
        if not calls:
            turns.append(turn)
        for call in calls:
            turns.append({"from": "function_call", "value": tools.call_text(call, trade)})
    row["conversations"] = turns
    if "tools" in record:
        row["tools"] = tools.schemas_text(record["tools"])
    for kind, found in media.items():
        if found:
            row[kind + "s"] = found
    return row
