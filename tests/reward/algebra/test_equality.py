r"""Equality of trees: numbers, expressions, lists, tuples, intervals, relations, matrices, units."""

import pytest

from qvl.reward.algebra.equality import equal
from qvl.reward.algebra.parser import read

SAME = [
    (r"1\pm\sqrt5", r"1+\sqrt5, 1-\sqrt5"),
    (r"\{1\pm\sqrt5,-2\}", r"\{-2, 1-\sqrt5, 1+\sqrt5\}"),
    ("[0,1)", r"0\le x<1"),
    ("x>5", r"(5,\infty)"),
    (r"x \le 5", r"5\ge x"),
    ("-x>-1", "x<1"),
    (r"x<1 \text{ or } x>2", r"(-\infty,1)\cup(2,\infty)"),
    (r"x\in(1,2)", "1<x<2"),
    (r"\{x|x>0\}", r"(0,\infty)"),
    (r"\{x\in\mathbb{R} : -1\le x\le 2\}", "[-1,2]"),
    (r"\mathbb{R}\setminus\{0\}", r"(-\infty,0)\cup(0,\infty)"),
    (r"x\ne3", r"(-\infty,3)\cup(3,\infty)"),
    (r"y=-\frac12x+\frac34", "2x+4y-3=0"),
    ("34x+45y-20z+100=0", "-34x-45y+20z-100=0"),
    ("x^2/4+y^2/3=1", "x^2/16+y^2/12=1/4"),
    ("y=2x+1", "2x+1"),
    ("f(x)=x^2", "y=x^2"),
    ("|AB|=1", "1"),
    ("(x,y)=(1,2)", "(1,2)"),
    ("x=1,y=2", "(1,2)"),
    ("A(1,2)", "(1,2)"),
    ("p=5,q=2;p=7,q=2", "(7,2),(5,2)"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\left[\begin{array}{cc}1&2\\3&4\end{array}\right]"),
    (r"\frac12\begin{pmatrix}2\\4\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    (
        r"\begin{pmatrix}1&0\\0&1\end{pmatrix}",
        r"\begin{pmatrix}0&1\\1&0\end{pmatrix}\begin{pmatrix}0&1\\1&0\end{pmatrix}",
    ),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)"),
    (r"\begin{vmatrix}1&2\\3&4\end{vmatrix}", "-2"),
    (r"\begin{cases}x=1\\y=2\end{cases}", "x=1,y=2"),
    (r"\tan^2(y)+1", r"\sec^2(y)"),
    (r"\log_2 8", "3"),
    ("2", r"\log 100"),
    (r"\ln 2", r"\log 2"),
    (r"\frac{1}{3\sqrt[3]{x}^2}", r"\frac{1}{3x^{2/3}}"),
    (r"\sin^{-1}(1)", r"\pi/2"),
    ("i^2", "-1"),
    (r"(1+i)^2", "2i"),
    (r"e^{i\pi}", "-1"),
    (r"\cos 20^\circ", r"\cos(\pi/9)"),
    (r"90^\circ", r"\frac\pi2"),
    (r"90^\circ", "90"),
    (r"50\%", "50"),
    ("204_5", "204"),
    ("204_5", "204_{5}"),
    ("3:4", r"\frac34"),
    (r"\binom{5}{2}", "10"),
    (r"\binom{n}{2}", r"\frac{n(n-1)}{2}"),
    (r"\lfloor 7/2\rfloor", "3"),
    (r"\max(2,3)", "3"),
    (r"\gcd(12,18)", "6"),
    (r"17 \bmod 5", "2"),
    (r"\frac{dy}{dx}=2x", r"\frac{dy}{dx}=x+x"),
    ("5 cm^2", r"5\text{ cm}^2"),
    ("30 km/h".replace(" km/h", r"\text{ km/h}"), "30"),
    ("1/2x", r"\frac{x}{2}"),
    (r"\sin x\cos x", r"\frac12\sin 2x"),
]
OTHER = [
    ("x<1", "x>-1"),
    (r"x\le1", "x<1"),
    ("[0,1)", "[0,1]"),
    ("(0,9)", "[0,9)"),
    ("x=3", "y=3"),
    ("xy=6", "6"),
    ("7=11a+c", "11a+c"),
    ("a+3z=0", "0"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", r"\{1,2\}"),
    (r"\{1,2\}", r"\{1,2,3\}"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}"),
    (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
    (r"\pm 2021", "2021"),
    ("f(x)", "f(y)"),
    ("f(2)<f(1)", "f(1)<f(2)"),
    ("f(g(x))", "g(f(x))"),
    ("y/x", r"\frac{dy}{dx}"),
    ("204_5", "204_6"),
    (r"\infty", r"-\infty"),
    ("x_1", "x_2"),
    (r"\vec{a}", "a"),
    (r"\overline{AB}", "AB"),
    (r"\sin x", r"\sin"),
    ("a", "A"),
    ("3", "3i"),
]


@pytest.mark.parametrize(("gold", "found"), SAME)
def test_what_means_the_same_is_equal_in_both_orders(gold, found):
    assert equal(read(gold), read(found))
    assert equal(read(found), read(gold))


@pytest.mark.parametrize(("gold", "found"), OTHER)
def test_what_means_another_thing_is_not_equal_or_not_read(gold, found):
    try:
        assert not equal(read(gold), read(found))
        assert not equal(read(found), read(gold))
    except ValueError as error:
        assert found == r"\sin" and "missing" in str(error)


def test_bare_values_of_names_keep_the_order_of_the_reference():
    assert equal(read("x=1,y=2"), read("1,2"))
    assert not equal(read("x=1,y=2"), read("2,1"))
