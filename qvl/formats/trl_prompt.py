"""TRL's prompt and completion: what follows the last turn that is not the assistant's, apart."""

from qvl.formats import trl
from qvl.formats.context import Trade

CONTAINER = "jsonl"
to_record = trl.to_record


def to_row(record: dict, trade: Trade) -> dict:
    row = trl.to_row(record, trade)
    turns = row.pop("messages")
    cut = len(turns)
    while cut and turns[cut - 1]["role"] == "assistant":
        cut -= 1
    row["prompt"] = turns[:cut]
    return row | {"completion": turns[cut:]} if turns[cut:] else row
