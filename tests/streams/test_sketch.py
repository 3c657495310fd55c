import random

import pytest

from qvl.streams.expression import Expression
from qvl.streams.sketch import Sketch
from qvl.streams.stats import MAX_VALUES, OTHERS, Stats


@pytest.mark.parametrize("scale", [1, 1000, 1e9])
def test_quantiles_are_right_within_one_percent(scale):
    draw = random.Random(0)
    numbers = sorted(draw.paretovariate(1.2) * scale for _ in range(20_000))
    sketch = Sketch()
    for number in numbers:
        sketch.add(number)
    for share in (0.01, 0.5, 0.9, 0.99, 1):
        exact = numbers[max(0, round(share * len(numbers)) - 1)]
        assert abs(sketch.quantile(share) / exact - 1) < 0.0101
    assert len(sketch._bins) < 2000


def test_small_whole_numbers_are_exact():
    for number in range(50):
        sketch = Sketch()
        sketch.add(number)
        assert sketch.quantile(0.5) == number


def test_of_nothing_all_is_zero():
    assert Sketch().facts() == {"count": 0, "mean": 0, "p50": 0, "p90": 0, "p99": 0, "max": 0}


def test_values_beyond_the_limit_are_counted_together():
    stats = Stats({"id": Expression("id")})
    for number in range(MAX_VALUES + 500):
        stats.add({"id": str(number)}, 10)
    counts = stats.facts()["by"]["id"]
    assert len(counts) == MAX_VALUES + 1
    assert counts[OTHERS] == 500


@pytest.mark.parametrize(
    "messages", [None, 5, [None], [{"role": 3, "content": 4}], [{"content": [1]}]]
)
def test_records_that_are_not_sound_are_counted_too(messages):
    stats = Stats({})
    stats.add({"messages": messages, "responses": [1, {"reward": None}]}, 10)
    assert stats.facts()["records"] == 1


def test_a_histogram_counts_every_number_between_round_edges():
    rng = random.Random(5)
    for numbers in (
        [rng.randrange(100) for _ in range(5000)],
        [int(rng.lognormvariate(6, 2)) for _ in range(5000)],
        [rng.random() for _ in range(5000)],
        [7.0],
        [0, 0, 0],
        [0.0, 1.0],
        [1_000_000, 1_000_001],
    ):
        sketch = Sketch()
        for number in numbers:
            sketch.add(number)
        bars = sketch.histogram()
        assert sum(count for _, _, count in bars) == len(numbers)
        assert 1 <= len(bars) <= 14
        assert all(low <= high for low, high, _ in bars)
        for place, (low, high, count) in enumerate(bars):
            end = high * 1.02 if place + 1 < len(bars) else float("inf")
            surely = sum(low * 1.02 <= number < high / 1.02 for number in numbers)
            perhaps = sum(low / 1.02 <= number < end for number in numbers)
            assert surely <= count <= perhaps
