"""Trees of mathematical texts: what is not known is not read, and never by halves."""

from fractions import Fraction

import pytest

from qvl.reward.algebra.lexer import Unreadable
from qvl.reward.algebra.nodes import ONE, TWO
from qvl.reward.algebra.parser import read

X, Y = ("name", "x"), ("name", "y")


def test_half_of_x_and_one_over_two_x_are_told_apart():
    assert read("1/2x") == ("mul", ("div", ONE, TWO), X)
    assert read("y/2x") == ("div", Y, ("mul", TWO, X))


def test_a_whole_number_before_a_fraction_is_a_mixed_number():
    assert read(r"1\frac12") == ("add", ONE, ("div", ONE, TWO))
    assert read(r"1\frac32")[0] == "mul"


def test_two_e_to_minus_one_is_eulers_number_and_ten_to_a_power_is_not():
    assert read("2e-1") == ("add", ("mul", TWO, ("name", "e")), ("neg", ONE))
    assert read("1.5e-1") == ("num", Fraction(15, 100), 2)


def test_a_unit_stands_after_a_value_and_a_letter_is_no_unit():
    assert read(r"2\text{ cm}") == ("unit", TWO, "cm")
    assert read("2 apples") == ("unit", TWO, "apples")
    assert read("2m") == ("mul", TWO, ("name", "m"))


@pytest.mark.parametrize(
    "text",
    ["", "$$", r"\foo", "(1", "1)", "1 2", "x 2 3", "1+", "*2", r"\frac{1}", r"\text{a", "{", "}", "^2", "|x", r"\begin{pmatrix}1&2\\3\end{pmatrix}", r"\begin{foo}1\end{foo}", "\\", "1,,2)", "\0", "`1`", "="],
)  # fmt: skip
def test_what_is_not_mathematics_is_not_read(text):
    with pytest.raises(Unreadable):
        read(text)
