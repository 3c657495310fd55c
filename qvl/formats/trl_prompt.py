"""TRL's prompt and completion; the completion is the assistant turns at the end."""

from qvl.formats import trl
from qvl.formats.context import Context

CONTAINER = "jsonl"
to_record = trl.to_record


def to_row(record: dict, context: Context) -> dict:
    row = trl.to_row(record, context)
    turns = row.pop("messages")
    end = len(turns)
    while end and turns[end - 1]["role"] == "assistant":
        end -= 1
    row["prompt"] = turns[:end]
    return row | {"completion": turns[end:]} if turns[end:] else row
