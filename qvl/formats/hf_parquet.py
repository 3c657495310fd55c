"""Hugging Face parquet with embedded images: id, messages, images, tools, answer, and other fields.

Reads any parquet whose rows look like those of TRL, verl, LLaVA or LLaMA-Factory, or that has a
question with answer and images; embedded images become files. The parquet written loads in `datasets`
with decoded images, and trains in TRL. An answer that is not a string is written as JSON, and fields
of several types as JSON in the column qvl. A null of parquet is an absent field.
"""

from typing import Any

from qvl.formats import llama_factory, llava, trl, verl
from qvl.formats.context import Context, with_id
from qvl.formats.parts import columns, tools, validate

CONTAINER = "parquet"
QUESTIONS = ("question", "problem", "query")
COLUMNS = ("id", "messages", "images", "tools", "answer", columns.REST)
MESSAGE = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name")
# Tells `datasets` which column has images, in a form that versions before 4.0 also read.
IMAGES = b'{"info": {"features": {"images": [{"_type": "Image"}]}}}'


def to_record(row: dict, context: Context) -> dict:
    kept = columns.unpack(row.get(columns.REST))
    row = columns.without_nulls(row)
    if kept is not None:
        del row[columns.REST]
    turns = row.get("conversations")
    if turns is not None:
        names = {turn["from"] for turn in validate.turns(row, "conversations", "from", context)}
        module = llava if names <= llava.ROLES.keys() and "tools" not in row else llama_factory
    elif "prompt" in row and "reward_model" in row:
        module = verl
    else:
        module = trl
        row = row if "messages" in row or "prompt" in row else _from_question(row, context)
    record = module.to_record(row, context)
    if module is not verl:
        media = {"messages": record.pop("messages")}
        record = validate.json_value(columns.without_nulls(record), "a column", context) | media
    record = tools.with_schemas(record, context)
    return with_id({**record, **(kept or {}).get("record", {})}, context)


def _from_question(row: dict, context: Context) -> dict:
    """The row of a benchmark: question or problem, answer or solution, image or images."""
    name = next((name for name in QUESTIONS if name in row), None)
    if name is None:
        raise context.error(f"no messages, conversations, prompt or question in {', '.join(row)}")
    row = {**row, "messages": [{"role": "user", "content": row[name]}]}
    del row[name]
    if "solution" in row and "answer" not in row:
        row["answer"] = row.pop("solution")
    return row


def to_row(record: dict, context: Context) -> dict:
    row = trl.to_row(record, context)
    fields = {k: v for k, v in row.items() if k not in COLUMNS}
    kept = {k: row[k] for k in (columns.REST,) if k in row}
    answer = row.get("answer")
    if "answer" in row and not isinstance(answer, str):
        kept["answer"] = answer
        answer = None if answer is None else tools.text_of(answer)
    return {
        "id": record["id"],
        "messages": [_turn(turn, context) for turn in row["messages"]],
        "images": [context.embedded(reference) for reference in row.get("images", [])],
        "tools": tools.text_of(record["tools"]) if "tools" in record else None,
        "answer": answer,
        "fields": fields,
        "kept": {"record": kept},
    }


def _turn(turn: dict, context: Context) -> dict:
    for field in sorted(turn.keys() - set(MESSAGE)):
        context.unsupported(f"{field!r} of a message")
    content = turn.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    for part in parts:
        for extra in sorted(part.keys() - {"type", "text"}):
            context.unsupported(f"{extra!r} of a part")
    held = {name: turn.get(name) for name in MESSAGE}
    for name in ("reasoning_content", "tool_call_id", "name"):
        if held[name] is not None:
            validate.text(held[name], name, context)
    if content is None:
        parts = []
    held["content"] = [{"type": part["type"], "text": part.get("text")} for part in parts]
    if held["tool_calls"] is not None:
        held["tool_calls"] = [_call(call, context) for call in held["tool_calls"]]
    return held


def _call(call: Any, context: Context) -> dict:
    full = tools.expand(tools.shorten(call, context), context)
    for name in (full.get("id"), full["function"]["name"]):
        validate.text(name, "the name or id of a tool call", context)
    return full


def schema(rows: list[dict], arrow: Any) -> Any:
    """The columns as pyarrow types; those of unknown fields are taken from the first `rows`."""
    text = arrow.string()
    part = arrow.struct([("type", text), ("text", text)])
    function = arrow.struct([("name", text), ("arguments", text)])
    call = arrow.struct([("id", text), ("type", text), ("function", function)])
    kinds = {"content": arrow.list_(part), "tool_calls": arrow.list_(call)}
    turn = arrow.struct([(name, kinds.get(name, text)) for name in MESSAGE])
    image = arrow.struct([("bytes", arrow.binary()), ("path", text)])
    found = [
        ("id", text),
        ("messages", arrow.list_(turn)),
        ("images", arrow.list_(image)),
        ("tools", text),
        ("answer", text),
        *columns.types_of((row["fields"] for row in rows), arrow).items(),
        (columns.REST, text),
    ]
    return arrow.schema(found, metadata={"huggingface": IMAGES})


def fit(row: dict, schema: Any, arrow: Any) -> dict:
    """Convert a row of to_row to the `schema`."""
    kept = row.pop("kept")
    held, rest = columns.divide(row.pop("fields"), schema, arrow)
    kept["record"] |= rest
    packed = columns.pack(**kept) if kept["record"] else None
    return {**row, **held, columns.REST: packed}
