"""verl: parquet with data_source, prompt, images, ability, reward_model and extra_info.

prompt is a chat whose texts hold <image>; images are embedded bytes. The answer is
reward_model.ground_truth, a string. Everything else of a record, an assistant turn to learn
included, is kept as JSON in extra_info.qvl, so the way back is exact.
"""

from typing import Any

import orjson

from qvl.formats import placeholders
from qvl.formats.trade import Trade, with_id

CONTAINER = "parquet"
KEPT = "qvl"
COLUMNS = ("data_source", "prompt", "images", "videos", "ability", "reward_model", "extra_info")


def to_record(row: dict, trade: Trade) -> dict:
    prompt = row.get("prompt")
    if not isinstance(prompt, list):
        raise trade.wrong("prompt is no chat")
    media = placeholders.media_of(row, trade)
    messages = []
    for turn in prompt:
        content = placeholders.to_parts(turn.get("content") or "", media, trade)
        messages.append({"role": turn.get("role"), "content": content})
    placeholders.check_spent(media, trade)
    info = dict(row.get("extra_info") or {})
    kept = orjson.loads(info.pop(KEPT, None) or "{}")
    rest = {k: v for k, v in row.items() if k not in COLUMNS}
    record: dict[str, Any] = {**rest, "messages": messages + kept.pop("turns", [])}
    if "id" in kept:
        record["id"] = kept.pop("id")
        info.pop("index", None)
        info.pop("split", None)
    reward = row.get("reward_model") or {}
    if reward.get("ground_truth") is not None:
        record["answer"] = reward["ground_truth"]
    for field, column in (("task", "ability"), ("source", "data_source")):
        if row.get(column):
            record[field] = row[column]
    if info:
        record["extra_info"] = info
    return with_id({**record, **kept}, trade)


def to_row(record: dict, trade: Trade) -> dict:
    media: dict[str, list[str]] = {kind: [] for kind in placeholders.KINDS}
    turns = record["messages"]
    cut = next((i for i, turn in enumerate(turns) if not _simple(turn)), len(turns))
    while cut and turns[cut - 1]["role"] == "assistant":
        cut -= 1
    prompt = [
        {"role": t["role"], "content": placeholders.to_text(t.get("content"), media, trade)}
        for t in turns[:cut]
    ]
    if media["video"]:
        trade.lose("a video")
    known = ("id", "messages", "answer", "task", "source")
    kept = {k: v for k, v in record.items() if k not in known}
    kept["id"] = record["id"]
    if turns[cut:]:
        kept["turns"] = turns[cut:]
    answer = record.get("answer")
    if "answer" in record and not isinstance(answer, str):
        kept["answer"] = answer
        answer = None if answer is None else orjson.dumps(answer).decode()
    return {
        "data_source": record.get("source", ""),
        "prompt": prompt,
        "images": [trade.embedded(reference) for reference in media["image"]],
        "ability": record.get("task", ""),
        "reward_model": {"style": "rule", "ground_truth": answer},
        "extra_info": {"index": record["id"], "split": "", KEPT: orjson.dumps(kept).decode()},
    }


def _simple(turn: dict) -> bool:
    """Whether a turn is a role and a content, which is all that prompt holds."""
    return turn.keys() <= {"role", "content"} and turn.get("content") is not None


def schema(arrow: Any) -> Any:
    """The columns as pyarrow types."""
    text = arrow.string()
    chat = arrow.list_(arrow.struct([("role", text), ("content", text)]))
    image = arrow.struct([("bytes", arrow.binary()), ("path", text)])
    reward = arrow.struct([("style", text), ("ground_truth", text)])
    info = arrow.struct([("index", text), ("split", text), (KEPT, text)])
    return arrow.schema(
        [
            ("data_source", text),
            ("prompt", chat),
            ("images", arrow.list_(image)),
            ("ability", text),
            ("reward_model", reward),
            ("extra_info", info),
        ]
    )
