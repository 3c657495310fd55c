"""Trees of expressions, which are tuples:

("num", Fraction, decimals)  ("name", text)  ("neg", a)  ("add" | "mul" | "div" | "pow", a, b)
("pm" | "mp", a, b)  ("call", name, arguments)  ("root", degree, a)  ("abs", a)  ("percent" | "degree", a)
("based", digits, base)  ("dots",)  ("text", words)  ("unit", a, unit)
("list" | "set", items)  ("tuple", opening, closing, items)  ("matrix", rows)
("union" | "intersection" | "difference", a, b)  ("builder", element, conditions)
("relation", (a, sign, b, sign, c, ...))
"""

from fractions import Fraction
from typing import Any

Node = tuple[Any, ...]

ZERO, ONE, TWO, TEN = (("num", Fraction(each), None) for each in (0, 1, 2, 10))
INFINITY = ("name", "infty")
TRIGONOMETRIC = {  # and hyperbolic: periodic along one axis
    *("sin", "cos", "tan", "sec", "csc", "cot"),
    *("sinh", "cosh", "tanh", "sech", "csch", "coth"),
}
