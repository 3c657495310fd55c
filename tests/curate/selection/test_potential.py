"""What a source can still teach: the measures, their intervals, and who is dropped."""

import random
from typing import Any

import orjson
import pytest
from scipy import stats

from qvl.curate.selection.potential import LogStep, PassRates, Potential, RewardLog, gain
from qvl.errors import UserError
from qvl.intervals import wilson


def query(source, rewards):
    return {"id": "a", "source": source, "responses": [{"reward": one} for one in rewards]}


def measured(records):
    samples = PassRates(pass_reward=0.5)
    for record in records:
        samples.add(record, "in:1")
    return samples


def test_the_mixed_share_counts_queries_whose_samples_disagree():
    samples = measured(
        [query("a", [1, 0, 0, 0]), query("a", [1, 1]), query("a", [0, 0]), query("b", [0.6, 0.4])]
    )
    found = samples.potentials()
    assert found["a"].value == pytest.approx(1 / 3)
    assert (found["a"].low, found["a"].high) == wilson(1 / 3, 3)
    assert found["a"].facts["pass_rate"] == pytest.approx((0.25 + 1 + 0) / 3)
    assert found["b"].value == 1
    assert samples.passed_over == 0


def test_the_spread_has_no_bias():
    """Of a query that passes with probability p its mean is p (1 - p), for few samples too."""
    draw = random.Random(0).random
    rate = 0.3
    found = measured(query("a", [float(draw() < rate) for _ in range(3)]) for _ in range(20_000))
    assert found.potentials()["a"].facts["spread"] == pytest.approx(rate * (1 - rate), abs=0.005)


def test_what_cannot_disagree_or_has_no_source_is_passed_over():
    samples = measured([query("a", [1]), query("a", [None, 1]), query("", [0, 1]), {"id": "x"}])
    assert samples.potentials() == {} and samples.passed_over == 4


@pytest.mark.parametrize("seed", range(3))
def test_the_gain_is_that_of_a_weighted_regression(seed):
    draw = random.Random(seed)
    steps = [
        LogStep(3 * n, 0.3 + 0.01 * n + draw.gauss(0, 0.03), draw.choice([32, 64]))
        for n in range(12)
    ]
    found = gain(steps)
    each = [step for step in steps for _ in range(step.count)]  # a point of weight w is w points
    line: Any = stats.linregress([s.number for s in each], [s.reward for s in each])
    assert found.value == pytest.approx(line.slope * 33)
    # The interval counts steps and not responses: those of a step are no independent observations.
    error = line.stderr * ((len(each) - 2) / 10) ** 0.5 * stats.t.ppf(0.975, 10) * 33
    assert found.high - found.value == pytest.approx(error, rel=1e-3)
    assert found.value - found.low == pytest.approx(error, rel=1e-3)
    assert found.facts["last"] - found.facts["first"] == pytest.approx(found.value)


def test_a_steady_rise_has_no_error_and_few_steps_say_nothing():
    rise = gain([LogStep(n, 0.1 * n, 8) for n in range(5)])
    assert (rise.low, rise.value, rise.high) == pytest.approx((0.4, 0.4, 0.4))
    assert gain([LogStep(n, 0.5, 8) for n in range(4)]).verdict(0.02) == "unsure"
    assert gain([LogStep(1, 0.5, 8)]).verdict(0.02) == "unsure"


def test_only_what_is_surely_under_the_threshold_is_dropped():
    assert Potential(0.2, 0.1, 0.3, {}).verdict(0.2) == "keep"
    assert Potential(0.1, 0.0, 0.3, {}).verdict(0.2) == "unsure"
    assert Potential(0.1, 0.0, 0.19, {}).verdict(0.2) == "drop"


def test_of_a_step_that_comes_twice_the_last_line_holds():
    log = RewardLog()
    log.add({"settings": {}, "step": 0}, "log:1")
    for reward in (0.9, 0.4):
        log.add({"step": 1, "loss": 1, "sources": {"a": {"reward": reward, "count": 4}}}, "log:2")
    log.add({"step": 2, "sources": {"a": {"reward": 0.5, "count": 4}}}, "log:4")
    assert log.passed_over == 1
    assert log.potentials()["a"].value == pytest.approx(0.1)


@pytest.mark.parametrize(
    "row",
    [
        {"sources": {"a": {"reward": 1, "count": 1}}},
        {"step": 1, "sources": []},
        {"step": True, "sources": {}},
        {"step": 1, "sources": {"a": 0.5}},
        {"step": 1, "sources": {"a": {"reward": "1", "count": 1}}},
        {"step": 1, "sources": {"a": {"reward": 1, "count": 0}}},
    ],
)
def test_a_line_that_is_no_step_is_an_error_that_says_where(row):
    with pytest.raises(UserError, match="log:7: "):
        RewardLog().add(row, "log:7")


def test_sources_without_potential_are_named_and_dropped(sh, tmp_path):
    with (tmp_path / "policy.jsonl").open("wb") as file:
        for source, rewards in (("old", [1, 1]), ("new", [1, 0])):
            for place in range(60):
                record = {
                    **query(source, rewards),
                    "id": f"{source}-{place}",
                    "task": "math",
                    "answer": "1",
                    "messages": [{"role": "user", "content": "1?"}],
                }
                file.write(orjson.dumps(record) + b"\n")
    done = sh("qvl rl potential policy.jsonl -o potential.zst --report report.json")
    assert "120 read, 2 kept, drop old" in done.stderr
    assert orjson.loads((tmp_path / "report.json").read_bytes())["notes"] == {"drop": "old"}
    rows = [orjson.loads(line) for line in sh("qvl cat --plain potential.zst").stdout.splitlines()]
    assert [(row["source"], row["verdict"], row["queries"]) for row in rows] == [
        ("old", "drop", 60),
        ("new", "keep", 60),
    ]
    done = sh("qvl rl prepare --potential potential.zst policy.jsonl -o kept.zst")
    assert "60 kept, 60 rejected (low-potential 60)" in done.stderr
    done = sh("qvl rl prepare --potential policy.jsonl policy.jsonl -o kept.zst")
    assert done.returncode == 2 and "policy.jsonl:1: no source with a verdict" in done.stderr
    done = sh("head -c 40 potential.zst | qvl rl potential --log")
    assert done.returncode == 2 and "cut short" in done.stderr
