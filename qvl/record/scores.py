"""The scores of a record: an object per stage, and beside each response what all stages measured of it."""

from collections.abc import Mapping, Sequence
from typing import Any


def scores_of(record: Any, stage: str) -> dict[str, Any]:
    """What a stage measured of the record; empty where it measured nothing."""
    return (record.get("scores") or {}).get(stage) or {}


def with_scores(
    record: Any,
    stage: str,
    row: Mapping[str, Any] | None = None,
    responses: Sequence[Mapping[str, Any]] = (),
    *,
    update: bool = False,
) -> dict:
    """A copy of the record with `row` as scores[stage], and a row added to the scores of each response.

    `row` replaces what an earlier run of the stage left; with `update` the names that it lacks stay. On a
    response they always stay, as several stages share one object there. None and () add nothing.
    """
    scored = dict(record)
    if row is not None:
        before = scores_of(record, stage) if update else {}
        scored["scores"] = {**(record.get("scores") or {}), stage: {**before, **row}}
    if responses:
        scored["responses"] = [
            {**response, "scores": {**(response.get("scores") or {}), **added}}
            for response, added in zip(record["responses"], responses, strict=True)
        ]
    return scored
