"""The 95 % intervals of rates and means, against published values and scipy."""

import pytest
from scipy import stats

from qvl.intervals import student, wilson


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    [
        (0, 16, 0.0, 0.1936),
        (16, 16, 0.8064, 1.0),
        (8, 16, 0.2800, 0.7200),
        (1, 10, 0.0179, 0.4042),
        # Newcombe 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_s_interval_against_published_values(passed, total, low, high):
    assert wilson(passed / total, total) == pytest.approx((low, high), abs=5e-5)


def test_wilson_s_interval_ends_at_0_and_1():
    assert wilson(1.0, 5)[1] == 1.0
    assert wilson(0.0, 5)[0] == pytest.approx(0.0, abs=1e-12)


def test_wilson_s_interval_solves_his_equation():
    z = 1.959964
    for total in (1, 3, 16, 200):
        for passed in range(0, total + 1, max(1, total // 5)):
            for end in wilson(passed / total, total):
                if 0 < end < 1:
                    error = abs(passed / total - end)
                    assert error == pytest.approx(z * (end * (1 - end) / total) ** 0.5, abs=1e-7)


@pytest.mark.parametrize("degrees", [3, 4, 10, 100])
def test_students_t(degrees):
    assert student(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=0.01)
