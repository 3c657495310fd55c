"""qvl's own records: nothing to do."""

from qvl.formats.context import Trade

CONTAINER = "jsonl"


def to_record(row: dict, trade: Trade) -> dict:
    return row


def to_row(record: dict, trade: Trade) -> dict:
    return record
