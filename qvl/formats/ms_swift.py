"""ms-swift: messages with <image> and <video> in their text, and lists of images and videos.

Each tool call is a turn of role tool_call whose content is {"name", "arguments"} as JSON; its id is a
field of the turn, which the loader ignores. <ref-object> and <bbox> are filled in from objects. Columns
such as objects, rejected_response and channel are copied, and so are loss and loss_scale of a turn.
"""

from typing import Any

from qvl.formats.context import Context, with_id
from qvl.formats.parts import placeholders, sharegpt, thinking, tools, validate
from qvl.formats.parts.objects import RowObjects

CONTAINER = "jsonl"
ROLES = {"tool_response": "tool"}
USED = ("images", "image", "videos", "video")
WEIGHTS = ("loss", "loss_scale")  # of a turn; they apply to its text and its calls


def to_record(row: dict, context: Context) -> dict:
    media = placeholders.RowMedia(row, context)
    objects = RowObjects(row, placeholders.listed(row, "image", context), context)
    messages: list[dict] = []
    for turn in validate.turns(row, "messages", "role", context):
        role = ROLES.get(turn["role"], turn["role"])
        if role == "tool_call":
            _add_call(messages, turn, context)
            continue
        filled = objects.fill(turn.get("content"))
        content: Any = placeholders.to_parts(filled, media, context)
        if turn.get("content") is None and turn.get("tool_calls"):
            content = None
        message = {"role": role, "content": content, **_rest(turn)}
        messages.append(thinking.extract(message, context))
    media.check()
    objects.check()
    record = {k: v for k, v in row.items() if k not in (*USED, "messages")}
    return with_id({**tools.with_schemas(record, context), "messages": messages}, context)


def _add_call(messages: list[dict], turn: dict, context: Context) -> None:
    """Add a call to the assistant turn before it, unless their other fields differ."""
    content = turn.get("content")
    call = tools.expand(content, context)
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


def to_row(record: dict, context: Context) -> dict:
    media = placeholders.collector()
    turns: list[dict[str, Any]] = []
    for message in record["messages"]:
        added = _turns(message, media, context)
        follows = turns and turns[-1]["role"] in ("assistant", "tool_call")
        if follows and added and added[0]["role"] == "tool_call":
            context.unsupported("the border between two assistant turns")
        turns += added
    row = context.without(record, USED) | {"messages": turns}
    if "tools" in record:
        row["tools"] = tools.text_of(record["tools"])
    return row | placeholders.columns(media)


def _turns(message: dict, media: dict[str, list[str]], context: Context) -> list[dict]:
    """The turns of a message: one for its text, if any, and one for each call."""
    text = placeholders.to_text(message.get("content"), media, context)
    text = thinking.inline(message, text, context)
    rest = sharegpt.rest_of(message)
    calls = message.get("tool_calls") or []
    turns: list[dict] = []
    if text or message.get("content") is not None or not calls:
        turns.append({"role": message["role"], "content": text, **rest})
        rest = {name: rest[name] for name in WEIGHTS if name in rest}
    for call in calls:
        short = tools.shorten(call, context)
        call_id = {"id": short.pop("id")} if "id" in short else {}
        turns.append({"role": "tool_call", "content": tools.text_of(short), **call_id, **rest})
    return turns
