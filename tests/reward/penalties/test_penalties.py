"""Penalties for repetition and broken format, on the labelled answers of filter-responses."""

from pathlib import Path

import orjson
import pytest

from qvl.reward.penalties.malformed import penalty as malformed
from qvl.reward.penalties.repetition import penalty as repetition

LABELLED = Path(__file__).parents[2] / "curate" / "labelled"
FORMAT = ("special-token", "think-format", "tool-format", "bad-json")


def labelled():
    for path in sorted(LABELLED.glob("*.*.jsonl")):
        yield from map(orjson.loads, path.read_bytes().splitlines())


def said(penalty, content, asked="What does the picture show?", **response):
    record = {"messages": [{"role": "user", "content": asked}]}
    return penalty(record, {"content": content, **response})


@pytest.mark.parametrize(
    ("penalty", "labels"), [(repetition, ("repetition",)), (malformed, FORMAT)]
)
def test_bad_answers_cost_and_sound_ones_do_not(penalty, labels):
    found = {True: [], False: []}
    for row in labelled():
        want = {row["want"], *row.get("also", [])}
        if want & set(labels) or row["want"] == "keep":
            record = {
                "messages": [{"role": "user", "content": row["asked"]}],
                "task": row.get("task"),
            }
            value = penalty(record, row).value
            assert -1 <= value <= 0
            found[row["want"] != "keep"].append(value)
    assert len(found[True]) > 90 and len(found[False]) > 250
    assert not any(found[False])
    assert sum(value < 0 for value in found[True]) >= 0.8 * len(found[True])


def test_a_loop_costs_the_whole_and_what_is_said_again_its_share():
    loop = "Let me check that again. " * 20
    assert said(repetition, loop).value == -1.0
    assert said(repetition, "It is a tower.", reasoning_content=loop).detail.startswith("thinking")
    said_twice = (
        "The tower stands on the left bank of the river, and a boat passes under the bridge."
    )
    value = said(repetition, f"{said_twice}\n" * 3).value
    assert -1 < value < -0.4


def test_repetition_that_was_asked_for_costs_nothing():
    assert said(repetition, "I will be good. " * 20, "Repeat the line 20 times.").value == 0.0


def test_what_is_broken_is_told():
    broken = said(malformed, "The tower <|im_end|> stands.")
    assert broken.value == -1.0 and broken.detail.startswith("special-token")
    assert said(malformed, "The tower stands.").value == 0.0
