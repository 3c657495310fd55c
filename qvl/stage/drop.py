"""Why a record is dropped."""

from typing import NamedTuple


class Drop(NamedTuple):
    """Why a record is dropped: a stable reason, which is counted, and the detail of this record."""

    reason: str
    detail: str = ""
    record: dict | None = None
    """What goes to the rejects, with what was measured; None for the record as it was read."""
