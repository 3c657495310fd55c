"""Accuracy, its interval, and what guessing would give."""

import orjson
import pytest

from qvl.errors import UserError
from qvl.evaluate import metrics
from qvl.intervals import wilson


def record(source, answer, rewards, task="logic", **response):
    responses = [{"reward": reward, "num_tokens": 2, **response} for reward in rewards]
    return {"source": source, "answer": answer, "task": task, "responses": responses}


def tally(*records, **options):
    counted = metrics.Tally("source", **options)
    assert list(counted.watch(records)) == list(records)
    return {row["group"]: row for row in counted.rows()}


def test_groups_and_all_together():
    rows = tally(
        record("a", "x", [1]), record("a", "x", [0]), record("b", "y", [1], finish_reason="length")
    )
    assert list(rows) == ["a", "b", "all"]
    assert [row["accuracy"] for row in rows.values()] == pytest.approx([0.5, 1, 2 / 3])
    assert [row["cut"] for row in rows.values()] == [0, 1, 1]
    assert rows["all"]["tokens"] == 2


def test_samples_of_one_record_count_as_one_record():
    rows = tally(record("a", "x", [1, 0, 0, 0]), record("a", "x", [1, 1, 1, 1]))
    assert rows["a"]["accuracy"] == 0.625
    assert rows["a"]["interval"] == wilson(0.625, 2)
    assert (rows["a"]["records"], rows["a"]["samples"]) == (2, 8)


def test_guessing_is_the_best_single_answer_by_the_verifier():
    answers = ["x"] * 5 + ["y"] * 3 + ["z"] * 2
    rows = tally(*(record("a", answer, [0]) for answer in answers))
    assert rows["a"]["guessing"] == 0.5
    boxes = [[0, 0, 100, 100], [0, 0, 100, 90], [0, 0, 90, 100], [500, 500, 600, 600]]
    rows = tally(*(record("a", box, [0], task="grounding") for box in boxes))
    assert rows["a"]["guessing"] == 0.75
    assert tally(record("a", "x", [0]), verifier="m:f")["all"]["guessing"] is None


def test_a_box_is_right_from_half_on():
    rows = tally(record("a", "x", [0.49]), record("a", "x", [0.5]))
    assert rows["a"]["accuracy"] == 0.5
    assert rows["a"]["reward"] == pytest.approx(0.495)


def test_minima():
    rows = metrics.Tally("source")
    rows.add(record("a=b", "x", [1]))
    assert metrics.shortfalls(rows.rows(), [metrics.parse_minimum("a=b=0.9")]) == {}
    (missed,) = metrics.shortfalls(rows.rows(), [metrics.parse_minimum("c=0")]).values()
    assert missed == "c: no records; there are a=b, all"
    for text in ("0.5", "a=", "a=2", "=0.5", "a=x"):
        with pytest.raises(UserError, match="GROUP=X"):
            metrics.parse_minimum(text)


@pytest.mark.parametrize("report", [b"{", b"{}", b'{"groups":[1]}'])
def test_a_file_that_is_no_report_is_named(report):
    with pytest.raises(UserError, match="not the report of an evaluation"):
        metrics.summary(report, "before.json")


def test_penalties_are_rates_over_records():
    mixing = "So 答案应该是 12, 因为 that is what 我们 can see.\n12"
    question = [{"role": "user", "content": "Sum up 3 4 5, please."}]
    tally = metrics.Tally("source", penalties=["language", "repetition"])
    for contents in ([mixing, "12"], ["12", "12"]):
        responses = [{"content": content, "reward": 1.0} for content in contents]
        tally.add({"messages": question, "source": "a", "answer": "12", "responses": responses})
    rows = {row["group"]: row["penalties"] for row in tally.rows()}
    assert rows["a"] == rows["all"]
    assert rows["a"]["language"]["share"] == 0.25
    assert rows["a"]["repetition"]["share"] == 0.0
    low, high = rows["a"]["language"]["interval"]
    assert low < 0.25 < high
    read = metrics.summary(orjson.dumps({"groups": tally.rows()}), "report.json")
    assert read.penalties["language"]["a"].value == 0.25


def row_of(accuracy):
    return {
        "records": 10,
        "accuracy": accuracy,
        "interval": (0.0, 1.0),
        "guessing": None,
        "tokens": None,
        "cut": 0,
    }


def test_a_response_without_a_verdict_is_neither_right_nor_wrong():
    rows = tally(record("a", "x", [1, None]), record("a", "x", [None]), record("b", "x", [None]))
    assert list(rows) == ["a", "all"]
    assert (rows["a"]["records"], rows["a"]["samples"], rows["a"]["accuracy"]) == (1, 1, 1.0)
