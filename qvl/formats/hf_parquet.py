"""Hugging Face parquet with images inside: id, messages, images, tools, answer, and a column a field.

Reading takes any parquet whose rows look like TRL's, verl's, LLaVA's or LLaMA-Factory's, or that has
a question, with its answer and images; embedded images are written out as files. What is written
loads in `datasets` with images decoded, and trains in TRL. An answer that is no text is JSON; fields
whose values have no one type are kept as JSON in the column qvl. A null of parquet is no field.
"""

from typing import Any

from qvl.formats import llama_factory, llava, trl, verl
from qvl.formats.context import Trade, with_id
from qvl.formats.parts import columns, tools, validate

CONTAINER = "parquet"
QUESTIONS = ("question", "problem", "query")
COLUMNS = ("id", "messages", "images", "tools", "answer", columns.KEPT)
MESSAGE = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name")
# What `datasets` must be told, as it and its older versions (before 4.0) both read it.
IMAGES = b'{"info": {"features": {"images": [{"_type": "Image"}]}}}'


def to_record(row: dict, trade: Trade) -> dict:
    kept = columns.unpack(row.get(columns.KEPT))
    row = columns.filled(row)
    if kept is not None:
        del row[columns.KEPT]
    turns = row.get("conversations")
    if turns is not None:
        names = {turn["from"] for turn in validate.turns(row, "conversations", "from", trade)}
        module = llava if names <= llava.ROLES.keys() and "tools" not in row else llama_factory
    elif "prompt" in row and "reward_model" in row:
        module = verl
    else:
        module = trl
        row = row if "messages" in row or "prompt" in row else _asked(row, trade)
    record = module.to_record(row, trade)
    if module is not verl:
        media = {"messages": record.pop("messages")}
        record = validate.plain(columns.filled(record), "a column", trade) | media
    if "tools" in record:
        record["tools"] = tools.parse_schemas(record["tools"], trade)
    return with_id({**record, **(kept or {}).get("record", {})}, trade)


def _asked(row: dict, trade: Trade) -> dict:
    """question or problem, and answer or solution, with image or images: tables of benchmarks."""
    name = next((name for name in QUESTIONS if name in row), None)
    if name is None:
        raise trade.wrong(f"no messages, conversations, prompt or question in {', '.join(row)}")
    row = {**row, "messages": [{"role": "user", "content": row[name]}]}
    del row[name]
    if "solution" in row and "answer" not in row:
        row["answer"] = row.pop("solution")
    return row


def to_row(record: dict, trade: Trade) -> dict:
    row = trl.to_row(record, trade)
    fields = {k: v for k, v in row.items() if k not in COLUMNS}
    kept = {k: row[k] for k in (columns.KEPT,) if k in row}
    answer = row.get("answer")
    if "answer" in row and not isinstance(answer, str):
        kept["answer"] = answer
        answer = None if answer is None else tools.text_of(answer)
    return {
        "id": record["id"],
        "messages": [_turn(turn, trade) for turn in row["messages"]],
        "images": [trade.embedded(reference) for reference in row.get("images", [])],
        "tools": tools.text_of(record["tools"]) if "tools" in record else None,
        "answer": answer,
        "fields": fields,
        "kept": {"record": kept},
    }


def _turn(turn: dict, trade: Trade) -> dict:
    for field in sorted(turn.keys() - set(MESSAGE)):
        trade.lose(f"{field!r} of a message")
    content = turn.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    for part in parts:
        for extra in sorted(part.keys() - {"type", "text"}):
            trade.lose(f"{extra!r} of a part")
    held = {name: turn.get(name) for name in MESSAGE}
    for name in ("reasoning_content", "tool_call_id", "name"):
        if held[name] is not None:
            validate.text(held[name], name, trade)
    if content is None:
        parts = []
    held["content"] = [{"type": part["type"], "text": part.get("text")} for part in parts]
    if held["tool_calls"] is not None:
        held["tool_calls"] = [_call(call, trade) for call in held["tool_calls"]]
    return held


def _call(call: Any, trade: Trade) -> dict:
    full = tools.full(tools.brief(call, trade), trade)
    for name in (full.get("id"), full["function"]["name"]):
        validate.text(name, "the name or id of a tool call", trade)
    return full


def schema(rows: list[dict], arrow: Any) -> Any:
    """The columns as pyarrow types, those of foreign fields as the first `rows` have them."""
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
        (columns.KEPT, text),
    ]
    return arrow.schema(found, metadata={"huggingface": IMAGES})


def fit(row: dict, schema: Any, arrow: Any) -> dict:
    """A row of to_row as `schema` holds it."""
    kept = row.pop("kept")
    types = {field.name: field.type for field in schema}
    held, rest = columns.divide(row.pop("fields"), types, arrow)
    kept["record"] |= rest
    packed = columns.pack(**kept) if kept["record"] else None
    return {**row, **held, columns.KEPT: packed}
