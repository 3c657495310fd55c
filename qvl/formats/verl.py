"""verl: parquet with data_source, prompt, images, videos, ability, reward_model and extra_info.

prompt is a chat whose texts hold <image> and <video>; images are embedded bytes, videos references.
The answer is reward_model.ground_truth, a string. Fields that verl does not name are columns, and
those of extra_info its fields, where their values have one type (see columns), so what rewards and
tools need goes there and back. The rest of a record, an assistant turn to learn included, is kept as
JSON in extra_info.qvl, so the way back is exact. A null of parquet is no field.
"""

from typing import Any

from qvl.formats.context import Trade, with_id
from qvl.formats.parts import columns, placeholders, tools, validate

CONTAINER = "parquet"
COLUMNS = ("data_source", "prompt", "images", "videos", "ability", "reward_model", "extra_info")
NAMES = {"task": "ability", "source": "data_source"}
KEPT_FIELDS = ("id", "tools", "responses", "scores", "reject")  # as JSON: their values have no type
KNOWN = (*KEPT_FIELDS, *NAMES, "messages", "answer", "extra_info", "reward_model")


def to_record(row: dict, trade: Trade) -> dict:
    media = placeholders.Media(row, trade)
    messages = []
    for turn in validate.turns(row, "prompt", "role", trade):
        content = placeholders.to_parts(turn.get("content"), media, trade)
        messages.append({**columns.filled(turn), "content": content})
    media.check()
    record = columns.filled({k: v for k, v in row.items() if k not in COLUMNS})
    record = validate.plain(record, "a column", trade)
    record |= {field: row[name] for field, name in NAMES.items() if row.get(name)}
    reward = dict(validate.mapping(row.get("reward_model"), "reward_model", trade))
    reward = validate.plain(columns.filled(reward), "reward_model", trade)
    if "ground_truth" in reward:
        record["answer"] = reward.pop("ground_truth")
    if reward not in ({}, {"style": "rule"}):
        record["reward_model"] = reward
    info = columns.filled(validate.mapping(row.get("extra_info"), "extra_info", trade))
    info = validate.plain(info, "extra_info", trade)
    kept = columns.unpack(info.get(columns.KEPT)) or {}
    if kept:
        del info[columns.KEPT]
        info = {} if kept["made"] else {**info, **kept["info"]}
        messages += kept["turns"]
    if info:
        record["extra_info"] = info
    return with_id({**record, "messages": messages, **kept.get("record", {})}, trade)


def to_row(record: dict, trade: Trade) -> dict:
    media = placeholders.collector()
    turns = record["messages"]
    cut = next((i for i, turn in enumerate(turns) if not _simple(turn)), len(turns))
    while cut and turns[cut - 1]["role"] == "assistant":
        cut -= 1
    prompt = [
        {"role": t["role"], "content": placeholders.to_text(t["content"], media, trade)}
        for t in turns[:cut]
    ]
    kept = {k: record[k] for k in KEPT_FIELDS if k in record}
    kept |= {k: v for k, v in record.items() if k in COLUMNS[:5] or (k in NAMES and v == "")}
    answer = record.get("answer")
    if "answer" in record and not isinstance(answer, str):
        kept["answer"] = answer
        answer = None if answer is None else tools.text_of(answer)
    style = record.get("reward_model", {"style": "rule"})
    if not isinstance(style, dict) or style.keys() != {"style"}:
        kept["reward_model"] = style
        style = style if isinstance(style, dict) else {}
    info = record.get("extra_info")
    made = not isinstance(info, dict) or not info or columns.KEPT in info
    if made and "extra_info" in record:
        kept["extra_info"] = info
    return {
        "data_source": record.get("source", ""),
        "prompt": prompt,
        "images": [trade.embedded(reference) for reference in media["image"]],
        "videos": [{"video": reference} for reference in media["video"]],
        "ability": record.get("task", ""),
        "reward_model": {"style": _style(style.get("style")), "ground_truth": answer},
        "extra_info": {"index": trade.number, "split": ""} if made else info,
        "fields": {k: v for k, v in record.items() if k not in (*KNOWN, *COLUMNS)},
        "kept": {"record": kept, "made": made, "turns": turns[cut:]},
    }


def _simple(turn: dict) -> bool:
    """Whether a turn is a role and a content, which is all that prompt holds."""
    return turn.keys() == {"role", "content"} and turn["content"] is not None


def _style(style: Any) -> str:
    return style if isinstance(style, str) else "rule"


def schema(rows: list[dict], arrow: Any) -> Any:
    """The columns as pyarrow types, those of foreign fields as the first `rows` have them."""
    text = arrow.string()
    chat = arrow.list_(arrow.struct([("role", text), ("content", text)]))
    image = arrow.struct([("bytes", arrow.binary()), ("path", text)])
    info = columns.types_of((row["extra_info"] for row in rows), arrow)
    return arrow.schema(
        [
            ("data_source", text),
            ("prompt", chat),
            ("images", arrow.list_(image)),
            ("videos", arrow.list_(arrow.struct([("video", text)]))),
            ("ability", text),
            ("reward_model", arrow.struct([("style", text), ("ground_truth", text)])),
            ("extra_info", arrow.struct([*info.items(), (columns.KEPT, text)])),
            *columns.types_of((row["fields"] for row in rows), arrow).items(),
        ]
    )


def fit(row: dict, schema: Any, arrow: Any) -> dict:
    """A row of to_row as `schema` holds it."""
    kept = row.pop("kept")
    types = {field.name: field.type for field in schema}
    held, rest = columns.divide(row.pop("fields"), types, arrow)
    kept["record"] |= rest
    types = {field.name: field.type for field in schema.field("extra_info").type}
    info, kept["info"] = columns.divide(row["extra_info"], types, arrow)
    return {**row, **held, "extra_info": {**info, columns.KEPT: columns.pack(**kept)}}
