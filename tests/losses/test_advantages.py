"""Advantages in a group against the formula, and the stated rule of each group that is out of the
ordinary."""

import math
import statistics

import pytest

from qvl.losses.advantages import group_advantages

NAN, INF = math.nan, math.inf


def test_they_are_the_rewards_less_their_mean_over_their_sample_deviation():
    rewards = [1.0, 0.0, 0.25, 1.0, -0.5]
    mean, std = statistics.mean(rewards), statistics.stdev(rewards)
    assert group_advantages(rewards) == pytest.approx([(r - mean) / std for r in rewards])


def test_one_of_sixteen_right_has_the_known_advantages():
    # With k of n ones: sqrt((n - 1) (n - k) / (n k)) for a one, and less sqrt(... k / (n - k)).
    found = group_advantages([1.0] + [0.0] * 15)
    assert found == pytest.approx([15 / 4] + [-1 / 4] * 15)


def test_no_verdict_and_a_reward_that_is_not_finite_are_left_out():
    known = group_advantages([1.0, 0.0, 1.0])
    a, b, c = known
    assert group_advantages([None, 1.0, NAN, 0.0, INF, 1.0, -INF]) == [
        None,
        a,
        None,
        b,
        None,
        c,
        None,
    ]


@pytest.mark.parametrize(
    "rewards",
    [
        [],
        [0.7],
        [1.0, 1.0, 1.0],
        [0.0, 0.0],
        [None, 0.7, NAN],
        [None, None],
        [0.1 + 0.2, 0.3, 0.1 + 0.2],  # equal but for rounding
    ],
)
def test_without_spread_or_company_a_verdict_has_the_advantage_0(rewards):
    expected = [None if r is None or math.isnan(r) else 0.0 for r in rewards]
    assert group_advantages(rewards) == expected


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1e-3, 1e300, 1.7e308])
def test_the_scale_of_rewards_does_not_matter(scale):
    found = group_advantages([scale, 0.0, -scale, scale])
    assert found == pytest.approx(group_advantages([1.0, 0.0, -1.0, 1.0]), rel=1e-12)
