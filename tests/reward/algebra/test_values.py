"""Values at a point: exact where they are short, to many digits elsewhere, and none beyond a size."""

import time
from fractions import Fraction

import pytest

from qvl.reward.algebra.functions import NotEvaluable
from qvl.reward.algebra.parser import read
from qvl.reward.algebra.values import DIGITS, Point, is_close, is_zero, value


def test_rational_numbers_are_exact():
    assert value(read(r"\frac{1}{3}+\frac{1}{6}"), Point(1)) == Fraction(1, 2)
    assert value(read(r"\sqrt{\frac{4}{9}}"), Point(1)) == Fraction(2, 3)
    assert value(read(r"\sqrt[3]{-8}"), Point(1)) == -2


def test_a_letter_has_one_value_a_point():
    first, second = (value(read("x"), Point(seed)) for seed in (1, 2))
    assert first == value(read("x"), Point(1)) and not is_close(first, second)


def test_values_that_differ_in_the_fortieth_digit_differ():
    assert not is_close(
        value(read(r"\sqrt2"), Point(1)), value(read(r"\sqrt{2+10^{-40}}"), Point(1))
    )


def test_a_zero_gets_smaller_with_more_digits_and_a_small_number_does_not():
    assert is_zero(read(r"\sin\pi"), Point(1))
    assert not is_zero(read("e^{-300}"), Point(1))
    assert DIGITS > 2 * 53


@pytest.mark.parametrize(
    "text",
    [r"\frac{1}{0}", r"\frac{x}{\sin\pi}", "0^{-1}", r"\ln 0", r"\tan\frac\pi2", "9^{9^{9^9}}", "(-3)!", r"\gcd(1,x)", r"\operatorname{Gamma}"],
)  # fmt: skip
def test_what_has_no_value_is_not_evaluable_at_once(text):
    started = time.process_time()
    with pytest.raises((NotEvaluable, ValueError)):
        value(read(text), Point(1))
    assert time.process_time() - started < 0.2
