"""Prompts that bring out bad behaviour: found in samples, and those that ship."""

from pathlib import Path

import pytest
from shells import ROOT

from qvl.curate.selection.triggers import BEHAVIOURS, Triggers
from qvl.errors import UserError
from qvl.io import jsonl
from qvl.record import check, question
from qvl.stage import Drop

SHIPPED = list(jsonl.read(str(ROOT / "examples" / "data" / "triggers.jsonl")))
GOOD = "The tower stands on the left bank, and a boat passes under the second arch of the bridge."
LOOP = "Let me check that again. " * 20
MIXED = "The tower stands on the left \u5cb8\u8fb9\u6709\u4e00\u5ea7\u5854 and \u8239\u4ece\u6865\u4e0b\u7ecf\u8fc7, so it is \u5f88\u6f02\u4eae."
BROKEN = "The tower <|im_end|> stands on the left bank."
CHINESE_MIXED = (
    "\u8fd9\u662f\u56e0\u4e3a the model has to wait for it \u6240\u4ee5\u4f1a\u5f88\u6162"
)


def sampled(*contents, asked="What does the picture show?", task="vqa"):
    return {
        "id": "a",
        "task": task,
        "messages": [{"role": "user", "content": asked}],
        "responses": [{"content": content, "finish_reason": "stop"} for content in contents],
    }


def test_a_prompt_is_kept_from_the_rate_on():
    for bad in range(5):
        record = sampled(*[LOOP] * bad, *[GOOD] * (16 - bad))
        found = Triggers()(record)
        assert isinstance(found, Drop) == (bad < 2), bad
    assert isinstance(found, dict)
    assert found["trigger"]["behaviours"] == ["repetition"]
    assert found["trigger"]["rates"] == {"repetition": 0.25}
    assert found["trigger"]["responses"] == 16
    assert "Let me check that again" in found["trigger"]["detail"]
    assert "responses" not in found
    assert Triggers(keep_responses=True)(record)["responses"] == record["responses"]  # pyright: ignore


def test_each_behaviour_is_told_apart_and_a_response_may_show_several():
    found = Triggers(min_rate=0.2)(sampled(LOOP, MIXED, BROKEN + " " + LOOP, GOOD))
    assert isinstance(found, dict)
    rates = {"repetition": 0.5, "language-mixing": 0.25, "format": 0.25}
    assert found["trigger"]["rates"] == rates
    one = Triggers(min_rate=0.2, behaviours=("format",))(sampled(LOOP, MIXED, BROKEN, GOOD))
    assert isinstance(one, dict) and one["trigger"]["behaviours"] == ["format"]


def test_the_rest_says_how_far_it_was_from_the_rate():
    found = Triggers(min_rate=0.5)(sampled(LOOP, GOOD, GOOD))
    assert found == Drop("quiet", "3 responses: repetition in 1")
    assert Triggers()(sampled()) == Drop("no-response", "nothing was sampled")


def test_what_was_asked_for_is_no_bad_behaviour():
    record = sampled(LOOP, asked="Repeat 'Let me check that again.' until I stop you.")
    assert isinstance(Triggers()(record), Drop)


def test_an_unknown_behaviour_is_an_error():
    with pytest.raises(UserError, match="expected language-mixing, repetition, format"):
        Triggers(behaviours=("sulking",))


@pytest.mark.parametrize("record", SHIPPED, ids=lambda record: record["id"])
def test_the_behaviour_that_a_shipped_prompt_brings_out_is_seen_at_it(record):
    """No word of a shipped prompt excuses what it is there to be penalised for."""
    assert check(record) is None
    (behaviour,) = record["trigger"]["behaviours"]
    asks_json = "JSON" in question(record)
    bad = {
        "repetition": LOOP,
        "format": '{"name": "he said "no""}' if asks_json else BROKEN,
        "language-mixing": MIXED if question(record).isascii() else CHINESE_MIXED,
    }
    responses = [{"content": bad[behaviour], "finish_reason": "stop"}]
    found = Triggers(behaviours=(behaviour,))({**record, "responses": responses})
    assert isinstance(found, dict), found
    assert found["trigger"]["behaviours"] == [behaviour]


def test_some_of_each_behaviour_ship():
    kinds = [record["trigger"]["behaviours"][0] for record in SHIPPED]
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(BEHAVIOURS, 8)
    assert len({record["id"] for record in SHIPPED}) == len(SHIPPED)


def test_mining_is_the_same_on_several_cores(sh, tmp_path: Path):
    jsonl.write(
        ({**sampled(LOOP if n % 3 else GOOD), "id": str(n)} for n in range(30)),
        str(tmp_path / "s.zst"),
    )
    one, two = (
        sh(f"qvl rl triggers s.zst --jobs {jobs} --plain --rejects r{jobs}.jsonl")
        for jobs in (1, 2)
    )
    assert one.stdout == two.stdout and "30 read, 20 kept, 10 rejected (quiet 10)" in two.stderr
    assert sh("cmp r1.jsonl r2.jsonl").returncode == 0
