"""qvl's own records, unchanged."""

from qvl.formats.context import Context

CONTAINER = "jsonl"


def to_record(row: dict, context: Context) -> dict:
    return row


def to_row(record: dict, context: Context) -> dict:
    return record
