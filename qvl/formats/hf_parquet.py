"""Hugging Face parquet with images inside: columns id, messages, images, and the rest as JSON.

Reading takes any parquet whose rows look like TRL's, verl's, LLaVA's or LLaMA-Factory's; embedded
images are written out as files. What is written loads in `datasets` with images decoded, and
trains in TRL.
"""

from typing import Any

import orjson

from qvl.formats import llama_factory, llava, trl, verl
from qvl.formats.trade import Trade

CONTAINER = "parquet"
KEPT = "qvl"


def to_record(row: dict, trade: Trade) -> dict:
    kept = orjson.loads(row.pop(KEPT, None) or "{}")
    row = {name: value for name, value in row.items() if value is not None}
    if "conversations" in row:
        names = {turn.get("from") for turn in row["conversations"]}
        module = llava if names <= set(llava.ROLES) and "tools" not in row else llama_factory
    elif "prompt" in row and "reward_model" in row:
        module = verl
    elif "messages" in row or "prompt" in row:
        module = trl
    else:
        return _question(row, kept, trade)
    return {**module.to_record(row, trade), **kept}


def _question(row: dict, kept: dict, trade: Trade) -> dict:
    """question or problem, and answer or solution, with image or images: benchmark tables."""
    question = next((row.pop(n) for n in ("question", "problem", "query") if n in row), None)
    if question is None:
        raise trade.wrong(f"no messages, conversations, prompt or question in {', '.join(row)}")
    row["messages"] = [{"role": "user", "content": question}]
    if "solution" in row and "answer" not in row:
        row["answer"] = row.pop("solution")
    return {**trl.to_record(row, trade), **kept}


def to_row(record: dict, trade: Trade) -> dict:
    row = trl.to_row(record, trade)
    messages = []
    for turn in row["messages"]:
        rest = turn.keys() - {"role", "content", "reasoning_content"}
        for field in sorted(rest):
            trade.lose(f"{field!r} of a message")
        content = turn.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
        parts = [{"type": part["type"], "text": part.get("text")} for part in parts]
        reasoning = turn.get("reasoning_content")
        messages.append({"role": turn["role"], "content": parts, "reasoning_content": reasoning})
    kept = {k: v for k, v in record.items() if k not in ("id", "messages")}
    return {
        "id": record["id"],
        "messages": messages,
        "images": [trade.embedded(reference) for reference in row.get("images", [])],
        KEPT: orjson.dumps(kept).decode(),
    }


def schema(arrow: Any) -> Any:
    """The columns as pyarrow types, and what makes `datasets` decode the images."""
    text = arrow.string()
    part = arrow.struct([("type", text), ("text", text)])
    turn = arrow.struct(
        [("role", text), ("content", arrow.list_(part)), ("reasoning_content", text)]
    )
    image = arrow.struct([("bytes", arrow.binary()), ("path", text)])
    string = {"dtype": "string", "_type": "Value"}
    features = {
        "id": string,
        "messages": {
            "feature": {
                "role": string,
                "content": {"feature": {"type": string, "text": string}, "_type": "List"},
                "reasoning_content": string,
            },
            "_type": "List",
        },
        "images": {"feature": {"_type": "Image"}, "_type": "List"},
        KEPT: string,
    }
    note = orjson.dumps({"info": {"features": features}}).decode()
    columns = [
        ("id", text),
        ("messages", arrow.list_(turn)),
        ("images", arrow.list_(image)),
        (KEPT, text),
    ]
    return arrow.schema(columns, metadata={"huggingface": note})
