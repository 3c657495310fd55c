"""verl: parquet with data_source, prompt, images, videos, ability, reward_model and extra_info.

prompt is a chat whose texts have <image> and <video>; images are embedded bytes, videos references.
The answer is reward_model.ground_truth, a string. Other fields are columns, and those of extra_info
fields of it, if their values have one type (see columns), so rewards and tools find what they need.
The rest of a record, including the assistant turns to train on, is JSON in extra_info.qvl, so a
record reads back exactly. A null of parquet is an absent field.
"""

from typing import Any

from qvl.formats.context import Context, with_id
from qvl.formats.parts import columns, placeholders, tools, validate

CONTAINER = "parquet"
COLUMNS = ("data_source", "prompt", "images", "videos", "ability", "reward_model", "extra_info")
NAMES = {"task": "ability", "source": "data_source"}
KEPT_FIELDS = (
    "id",
    "tools",
    "responses",
    "scores",
    "reject",
)  # as JSON: their values have no single type
KNOWN = (*KEPT_FIELDS, *NAMES, "messages", "answer", "extra_info", "reward_model")


def to_record(row: dict, context: Context) -> dict:
    media = placeholders.RowMedia(row, context)
    messages = []
    for turn in validate.turns(row, "prompt", "role", context):
        content = placeholders.to_parts(turn.get("content"), media, context)
        messages.append({**columns.without_nulls(turn), "content": content})
    media.check()
    record = columns.without_nulls({k: v for k, v in row.items() if k not in COLUMNS})
    record = validate.json_value(record, "a column", context)
    record |= {field: row[name] for field, name in NAMES.items() if row.get(name)}
    reward = dict(validate.mapping(row.get("reward_model"), "reward_model", context))
    reward = validate.json_value(columns.without_nulls(reward), "reward_model", context)
    if "ground_truth" in reward:
        record["answer"] = reward.pop("ground_truth")
    if reward not in ({}, {"style": "rule"}):
        record["reward_model"] = reward
    info = columns.without_nulls(validate.mapping(row.get("extra_info"), "extra_info", context))
    info = validate.json_value(info, "extra_info", context)
    kept = columns.unpack(info.get(columns.REST)) or {}
    if kept:
        del info[columns.REST]
        info = {} if kept["made"] else {**info, **kept["info"]}
        messages += kept["turns"]
    if info:
        record["extra_info"] = info
    return with_id({**record, "messages": messages, **kept.get("record", {})}, context)


def to_row(record: dict, context: Context) -> dict:
    media = placeholders.collector()
    turns = record["messages"]
    end = next((i for i, turn in enumerate(turns) if not _simple(turn)), len(turns))
    while end and turns[end - 1]["role"] == "assistant":
        end -= 1
    prompt = [
        {"role": t["role"], "content": placeholders.to_text(t["content"], media, context)}
        for t in turns[:end]
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
    made = not isinstance(info, dict) or not info or columns.REST in info
    if made and "extra_info" in record:
        kept["extra_info"] = info
    return {
        "data_source": record.get("source", ""),
        "prompt": prompt,
        "images": [context.embedded(reference) for reference in media["image"]],
        "videos": [{"video": reference} for reference in media["video"]],
        "ability": record.get("task", ""),
        "reward_model": {"style": _style(style.get("style")), "ground_truth": answer},
        "extra_info": {"index": context.row_number, "split": ""} if made else info,
        "fields": {k: v for k, v in record.items() if k not in (*KNOWN, *COLUMNS)},
        "kept": {"record": kept, "made": made, "turns": turns[end:]},
    }


def _simple(turn: dict) -> bool:
    """Whether a turn has only a role and a content, as those of prompt have."""
    return turn.keys() == {"role", "content"} and turn["content"] is not None


def _style(style: Any) -> str:
    return style if isinstance(style, str) else "rule"


def schema(rows: list[dict], arrow: Any) -> Any:
    """The columns as pyarrow types; those of unknown fields are taken from the first `rows`."""
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
            ("extra_info", arrow.struct([*info.items(), (columns.REST, text)])),
            *columns.types_of((row["fields"] for row in rows), arrow).items(),
        ]
    )


def fit(row: dict, schema: Any, arrow: Any) -> dict:
    """Convert a row of to_row to the `schema`."""
    kept = row.pop("kept")
    held, rest = columns.divide(row.pop("fields"), schema, arrow)
    kept["record"] |= rest
    info, kept["info"] = columns.divide(row["extra_info"], schema.field("extra_info").type, arrow)
    return {**row, **held, "extra_info": {**info, columns.REST: columns.pack(**kept)}}
