"""LLaMA-Factory's ShareGPT: conversations from human, gpt, function_call and observation.

system and tools are columns; images and videos are <image> and <video> in the text. Turns must
alternate and end in an answer: its loader empties other rows with a warning, so here they are errors.
Parallel calls are a JSON list in one turn, and their results are joined in one turn, as its own
converter of OpenAI messages does. Reading separates both again.
"""

import re
from itertools import groupby
from typing import Any

import orjson

from qvl.formats.context import Context, with_id
from qvl.formats.parts import placeholders, sharegpt, thinking, tools, validate

CONTAINER = "json"
ROLES = {"human": "user", "gpt": "assistant", "observation": "tool", "system": "system"}
NAMES = {role: name for name, role in ROLES.items()}
USED = ("conversations", "system", "images", "image", "videos", "video")
ASKS = ("human", "observation")  # at even places, counted from 0
BETWEEN_RESULTS = "\n</tool_response>\n<tool_response>\n"
THOUGHT = re.compile(r"\A<think>.*?</think>\s*", re.DOTALL)


def to_record(row: dict, context: Context) -> dict:
    media = placeholders.RowMedia(row, context)
    turns = validate.turns(row, "conversations", "from", context)
    system = validate.text(row.get("system"), "system", context)
    messages: list[dict] = [{"role": "system", "content": system}] if system else []
    if system and any(turn["from"] == "system" for turn in turns):
        raise context.error("both a system column and a system turn")
    for turn in turns:
        if turn["from"] == "function_call":
            messages.append(_calls(turn, context))
        elif turn["from"] == "observation":
            for value in validate.text(turn.get("value"), "an observation", context).split(
                BETWEEN_RESULTS
            ):
                messages.append(sharegpt.message({**turn, "value": value}, ROLES, media, context))
        else:
            messages.append(sharegpt.message(turn, ROLES, media, context))
    media.check()
    record = {k: v for k, v in row.items() if k not in USED}
    return with_id({**tools.with_schemas(record, context), "messages": messages}, context)


def _calls(turn: dict, context: Context) -> dict:
    """The message of a function_call turn: an optional thought, then the JSON of its calls."""
    value = validate.text(turn.get("value"), "a function_call", context)
    thought = THOUGHT.match(value)
    content = thought[0] if thought else None
    try:
        calls = orjson.loads(value[len(content or "") :])
    except orjson.JSONDecodeError:
        raise context.error("a function_call is not JSON") from None
    calls = [
        tools.expand(call, context) for call in (calls if isinstance(calls, list) else [calls])
    ]
    message = {"role": "assistant", "content": content, "tool_calls": calls}
    message |= sharegpt.extras_of(turn)
    extracted = thinking.extract(message, context)
    if extracted is not message:
        extracted["content"] = extracted["content"] or None
    return extracted


def to_row(record: dict, context: Context) -> dict:
    media = placeholders.collector()
    row = context.without(record, USED)
    del row["messages"]
    turns: list[dict[str, Any]] = []
    for role, group in groupby(record["messages"], key=lambda message: message["role"]):
        found = [_turn(message, media, context) for message in group]
        turns += [_joined(found, context)] if role == "tool" else found
    first = turns[0] if turns else {}
    # An empty system turn stays a turn, because an empty column means none.
    if first.get("from") == "system" and first.keys() == {"from", "value"} and first["value"]:
        row["system"] = turns.pop(0)["value"]
    if not _alternate(turns, "chosen" in record):
        context.unsupported(
            "turns that do not alternate up to an answer (its loader skips such rows)"
        )
    row["conversations"] = turns
    if "tools" in record:
        row["tools"] = tools.text_of(record["tools"])
    return row | placeholders.columns(media)


def _turn(message: dict, media: dict[str, list[str]], context: Context) -> dict:
    turn = sharegpt.turn(message, NAMES[message["role"]], media, context)
    calls = message.get("tool_calls")
    if calls is None:
        return turn
    text = turn["value"]
    if text and not THOUGHT.fullmatch(text):
        context.unsupported("text and a tool call in one turn")
        text = ""
    short = [tools.shorten(call, context) for call in calls]
    value = text + tools.text_of(short[0] if len(short) == 1 else short)
    return {**turn, "from": "function_call", "value": value}


def _joined(results: list[dict], context: Context) -> dict:
    """One turn for the results of several calls."""
    if len(results) == 1 and BETWEEN_RESULTS not in results[0]["value"]:
        return results[0]
    for result in results:
        for extra in sorted(result.keys() - {"from", "value"}):
            context.unsupported(f"{extra!r} of one tool result of several")
        if BETWEEN_RESULTS in result["value"]:
            context.unsupported("the text between two tool results in a tool result")
    return {"from": "observation", "value": BETWEEN_RESULTS.join(r["value"] for r in results)}


def _alternate(turns: list[dict], ranking: bool) -> bool:
    """Whether the loader takes the turns. `ranking`: the answers are `chosen` and `rejected`."""
    dialogue = turns[1:] if turns and turns[0]["from"] == "system" else turns
    asks = [turn["from"] in ASKS for turn in dialogue]
    known = all(turn["from"] != "system" for turn in dialogue)
    return known and asks == [n % 2 == 0 for n in range(len(asks))] and len(asks) % 2 == ranking
