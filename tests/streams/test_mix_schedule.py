from fractions import Fraction
from itertools import islice

import pytest

from qvl.errors import UserError
from qvl.streams.mix import schedule
from qvl.streams.ratio import RATIOS, parse

SHARES = [
    "1,2",
    "1,1",
    "0.3,0.7",
    "1/3,2/3",
    "1,1000",
    "1,2,3,4,5",
    "1,1,1,1,1,1,1,1",
    "97,1,1,1,50",
]


@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_prefix_is_within_two_turns_of_the_ratio(shares, seed):
    weights = list(parse(shares).values())
    total = sum(weights)
    counts = [0] * len(weights)
    for number, turn in enumerate(islice(schedule(weights, seed), 5000), 1):
        counts[turn] += 1
        for count, weight in zip(counts, weights, strict=True):
            assert abs(count - number * weight / total) < 2


def test_the_seed_decides_the_order_and_the_order_has_no_period():
    weights = [Fraction(1), Fraction(2)]
    turns = list(islice(schedule(weights, 0), 3000))
    assert turns == list(islice(schedule(weights, 0), 3000))
    assert turns != list(islice(schedule(weights, 1), 3000))
    for rank in range(3):  # three ranks that read in turn all see about one third of text
        assert 0.28 < turns[rank::3].count(0) / 1000 < 0.40


@pytest.mark.parametrize(
    "text", ["", "a=", "a=0", "a=-1", "a=x", "a=1,a=2", "1,0", "=1", "a=1/0", "a=1,2", "nan", "inf"]
)
def test_a_wrong_ratio_is_refused(text):
    with pytest.raises(UserError, match="--ratio"):
        parse(text)


def test_the_papers_ratios():
    assert parse(RATIOS["sft"]) == {"text": 1, "multimodal": 2}
    assert parse(RATIOS["cold-start"]) == {"text": 1, "multimodal": 1}
