"""ms-swift: messages with <image> and <video> in their text, lists of images and videos beside.

Tool calls are turns of role tool_call, one a call, their content {"name", "arguments"} as JSON; a
call's id stands beside it, where the loader ignores it. Columns such as objects, rejected_response
and channel go through, and so do loss and loss_scale of a turn.
"""

from typing import Any

from qvl.formats.context import Trade, with_id
from qvl.formats.parts import placeholders, sharegpt, thinking, tools, validate

CONTAINER = "jsonl"
ROLES = {"tool_response": "tool"}
USED = ("images", "image", "videos", "video")
WEIGHTS = ("loss", "loss_scale")  # of a turn; they hold for its text and for its calls


def to_record(row: dict, trade: Trade) -> dict:
    media = placeholders.Media(row, trade)
    messages: list[dict] = []
    for turn in validate.turns(row, "messages", "role", trade):
        role = ROLES.get(turn["role"], turn["role"])
        if role == "tool_call":
            _add_call(messages, turn, trade)
            continue
        content: Any = placeholders.to_parts(turn.get("content"), media, trade)
        if turn.get("content") is None and turn.get("tool_calls"):
            content = None
        message = {"role": role, "content": content, **_rest(turn)}
        messages.append(thinking.unfold(message, trade))
    media.check()
    record = {k: v for k, v in row.items() if k not in (*USED, "messages")}
    if record.get("tools") in ("", None):
        record.pop("tools", None)
    else:
        record["tools"] = tools.parse_schemas(record["tools"], trade)
    return with_id({**record, "messages": messages}, trade)


def _add_call(messages: list[dict], turn: dict, trade: Trade) -> None:
    """Add a call to the assistant turn before it, unless the two differ in what is besides."""
    content = turn.get("content")
    call = tools.full(content, trade)
    rest = _rest(turn)
    if "id" in rest:
        call = {"id": rest.pop("id"), **call}
    before = messages[-1] if messages else {"role": ""}
    differ = any(before.get(name) != value for name, value in rest.items())
    if before["role"] != "assistant" or differ:
        messages.append({"role": "assistant", "content": None, **rest})
    messages[-1].setdefault("tool_calls", []).append(call)


def _rest(turn: dict) -> dict:
    return {k: v for k, v in turn.items() if k not in ("role", "content")}


def to_row(record: dict, trade: Trade) -> dict:
    media = placeholders.collector()
    turns: list[dict[str, Any]] = []
    for message in record["messages"]:
        added = _turns(message, media, trade)
        follows = turns and turns[-1]["role"] in ("assistant", "tool_call")
        if follows and added and added[0]["role"] == "tool_call":
            trade.lose("the border between two assistant turns")
        turns += added
    for field in USED:
        if field in record:
            trade.lose(f"a field named {field!r}")
    row = {k: v for k, v in record.items() if k not in USED} | {"messages": turns}
    if "tools" in record:
        row["tools"] = tools.text_of(record["tools"])
    return row | {kind + "s": found for kind, found in media.items() if found}


def _turns(message: dict, media: dict[str, list[str]], trade: Trade) -> list[dict]:
    """A turn for the text, where there is one, and one for each call."""
    text = placeholders.to_text(message.get("content"), media, trade)
    text = thinking.fold(message, text, trade)
    rest = sharegpt.rest_of(message)
    calls = message.get("tool_calls") or []
    turns: list[dict] = []
    if text or message.get("content") is not None or not calls:
        turns.append({"role": message["role"], "content": text, **rest})
        rest = {name: rest[name] for name in WEIGHTS if name in rest}
    for call in calls:
        short = tools.brief(call, trade)
        beside = {"id": short.pop("id")} if "id" in short else {}
        turns.append({"role": "tool_call", "content": tools.text_of(short), **beside, **rest})
    return turns
