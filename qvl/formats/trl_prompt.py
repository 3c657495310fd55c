"""TRL's prompt and completion: the last assistant turns apart from what leads to them."""

from qvl.formats import trl
from qvl.formats.trade import Trade

CONTAINER = "jsonl"
to_record = trl.to_record


def to_row(record: dict, trade: Trade) -> dict:
    row = trl.to_row(record, trade)
    turns = row.pop("messages")
    cut = len(turns)
    while cut and turns[cut - 1]["role"] == "assistant":
        cut -= 1
    return {**row, "prompt": turns[:cut], "completion": turns[cut:]}
