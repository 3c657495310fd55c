"""Two runs of the same records: the difference, its interval, and its test."""

import random
from typing import Any

import pytest
from scipy import stats

from qvl.errors import UserError
from qvl.evaluate import compare
from qvl.evaluate.compare import Comparison


def records(rewards, group="s"):
    return [
        {"id": f"{group}{at}", "source": group,
         "responses": [{"content": f"answer {one}", "reward": one} for one in given]}
        for at, given in enumerate(rewards)
    ]  # fmt: skip


def compared(before, after):
    comparison = Comparison(before, "source")
    changed = list(comparison.changed(after))
    return comparison, changed


def test_what_changed_is_told_with_both_answers():
    comparison, changed = compared(records([[1], [0], [1]]), records([[1], [1], [0]]))
    assert [(each["id"], each["before"]["share"], each["after"]["share"]) for each in changed] == [
        ("s1", 0, 1), ("s2", 1, 0),
    ]  # fmt: skip
    assert changed[0]["after"]["content"] == "answer 1"
    (row,) = comparison.rows()
    assert (row["better"], row["worse"], row["difference"], row["p"]) == (1, 1, 0, 1)


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (5, 0), (12, 3), (3, 40)])
def test_the_test_of_right_and_wrong_is_mcnemar_s_exact_one(better, worse):
    differences = [1.0] * better + [-1.0] * worse + [0.0] * 20
    total = better + worse
    expected = stats.binomtest(better, total).pvalue if total else 1
    assert compare.p_value(differences) == pytest.approx(expected)


def test_the_interval_is_that_of_a_paired_t_test():
    draw = random.Random(0)
    before = [[draw.random() < 0.5 for _ in range(4)] for _ in range(60)]
    after = [[draw.random() < 0.6 for _ in range(4)] for _ in range(60)]
    comparison, _ = compared(records(before), records(after))
    (row,) = comparison.rows()
    differences = [sum(new) / 4 - sum(old) / 4 for old, new in zip(before, after, strict=True)]
    test: Any = stats.ttest_1samp(differences, 0)
    low, high = test.confidence_interval()
    assert row["interval"] == pytest.approx((low, high), abs=1e-3)
    assert row["p"] == pytest.approx(test.pvalue, abs=0.02)


def test_groups_are_compared_apart_and_together_and_strangers_are_counted():
    before = records([[1], [0]], "a") + records([[0], [0]], "b")
    after = records([[1], [1]], "a") + records([[0], [0], [1]], "b") + records([[None]], "c")
    comparison, _ = compared(before, after)
    rows = {row["group"]: row for row in comparison.rows()}
    assert {name: row["difference"] for name, row in rows.items()} == {
        "a": 0.5,
        "b": 0,
        "all": 0.25,
    }
    assert comparison.unpaired == 2


def test_runs_of_other_records_or_unjudged_ones_are_errors():
    comparison, _ = compared(records([[1]], "a"), records([[1]], "b"))
    with pytest.raises(UserError, match="no record is in both"):
        comparison.rows()
    with pytest.raises(UserError, match="not judged; run qvl eval score"):
        Comparison([{"id": "x", "responses": [{"content": "1"}]}], "source")


def test_a_group_that_is_not_better_beyond_chance_is_named():
    comparison, _ = compared(records([[0]] * 12), records([[1]] * 12))
    assert compare.shortfalls(comparison.rows(), ["s"]) == []
    assert compare.shortfalls(comparison.rows(), ["t"]) == ["t: no records; there are s"]
    comparison, _ = compared(records([[0]] * 3), records([[1]] * 3))
    assert compare.shortfalls(comparison.rows(), ["s"]) == ["s: not better, +100.0, p 0.25"]
    comparison, _ = compared(records([[1]] * 12), records([[0]] * 12))
    assert compare.shortfalls(comparison.rows(), ["s"]) == ["s: not better, -100.0, p 0.00049"]


def test_free_of_a_penalty_compares_style_and_not_what_is_right():
    mixing = "So 答案应该是 12, 因为 that is what 我们 can see.\n12"
    before, after = records([[1, 1], [1, 1]]), records([[0, 0], [0, 0]])
    for record in [*before, *after]:
        record["messages"] = [{"role": "user", "content": "Sum up 3 4 5, please."}]
        for response in record["responses"]:
            response["content"] = "12"
    before[0]["responses"][0]["content"] = mixing
    comparison = Comparison(before, "source", ["language"])
    (changed,) = comparison.changed(after)
    assert (changed["before"]["share"], changed["after"]["share"]) == (0.5, 1.0)


def test_free_of_several_penalties_counts_a_response_with_any_of_them_once():
    before, after = records([[1, 1, 1]]), records([[1, 1, 1]])
    for record in [*before, *after]:
        record["messages"] = [{"role": "user", "content": "Sum up 3 4 5, please."}]
        for response in record["responses"]:
            response["content"] = "12"
    mixing = "So 答案应该是 12, 因为 that is what 我们 can see.\n12"
    before[0]["responses"][0]["content"] = mixing
    before[0]["responses"][1]["content"] = f"<think>{mixing}"
    comparison = Comparison(before, "source", ["language", "format"])
    (changed,) = comparison.changed(after)
    assert changed["before"]["share"] == pytest.approx(1 / 3)
