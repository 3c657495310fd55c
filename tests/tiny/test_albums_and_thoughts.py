"""Records of the tasks for a model that knows the first ones: many images, and a thought."""

import pytest

from qvl import record
from qvl.io import jsonl
from qvl.tiny import data
from qvl.tiny.data import DataPlan


def test_a_test_of_an_album_holds_the_turns_before_its_question(tmp_path):
    data.write(tmp_path, DataPlan(names=["card-album"], train=1, test=1, defect_share=0.0))
    (asked,) = jsonl.read(str(tmp_path / data.TEST))
    roles = [message["role"] for message in asked["messages"]]
    assert len(roles) > 100 and roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    assert len(set(record.images(asked))) == len(roles) // 2 + 1
    (whole,) = jsonl.read(str(tmp_path / data.RAW))
    assert record.text(record.final(whole)) == whole["answer"]
    assert record.check(asked) is None and record.check(whole) is None


@pytest.mark.parametrize(("name", "terms"), [("long-sum", 8), ("longer-sum", 12)])
def test_the_reasoning_of_long_sums_is_a_thought(tmp_path, name, terms):
    data.write(tmp_path, DataPlan(names=[name], train=3, test=1, defect_share=0.0))
    for one in jsonl.read(str(tmp_path / data.RAW)):
        thought, _, answer = record.text(record.final(one)).partition("</think>")
        assert thought.startswith("<think>") and thought.count("=") == terms - 1
        assert answer.strip() == one["answer"]
