"""The functions of expressions: trigonometry, logarithms, factorials, whole parts, greatest divisors."""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

from qvl.reward.algebra.nodes import TRIGONOMETRIC

MAX_BITS = 1 << 15  # of an exact numerator or denominator
MAX_ARGUMENT = 1 << 12  # bits before the point of an argument of a periodic function
_INVERSE = {
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arccot": "acot",
    "arcsec": "asec",
    "arccsc": "acsc",
}
_INVERSE |= {
    "arsinh": "asinh",
    "arcosh": "acosh",
    "artanh": "atanh",
    "arcsinh": "asinh",
    "arccosh": "acosh",
}
_INVERSE |= {"arctanh": "atanh", "arccoth": "acoth", "arcsech": "asech", "arccsch": "acsch"}
_WITH_POLES = {"tan", "sec", "csc", "cot", "csch", "coth"}


class NotEvaluable(ArithmeticError):
    """The value is undefined, or too large to be computed."""


class Functions:
    """Functions of values, each a Fraction or a number of mpmath.

    mp: the context of mpmath; log_base: of a logarithm without one, None for Euler's number.
    """

    def __init__(self, mp: Any, log_base: int | None) -> None:
        self.mp, self.log_base = mp, log_base
        self._known: dict[str, Callable[..., Any]] = {
            "log": self._log_of,
            "factorial": self._factorial_of,
            "factorial2": self._factorial2_of,
            "binom": self._binom_of,
            "floor": self._floor_of,
            "ceil": self._ceil_of,
            "sign": self._sign_of,
            "max": self._max_of,
            "min": self._min_of,
            "gcd": self._gcd_of,
            "lcm": self._lcm_of,
            "mod": self._mod_of,
            "Re": self._re_of,
            "Im": self._im_of,
        }

    def __call__(self, name: str, values: list[Any]) -> Any:
        """The value of a function; None if it is not known."""
        known = self._known.get(name)
        if known is not None:
            return known(*values)
        if (name in TRIGONOMETRIC or name in _INVERSE) and len(values) == 1:
            x = self.float(values[0])
            if x and self.mp.mag(x) > MAX_ARGUMENT:
                raise NotEvaluable("an argument that is too large")
            result = getattr(self.mp, _INVERSE.get(name, name))(x)
            if name in _WITH_POLES and abs(result) > self.mp.mpf(10) ** (self.mp.dps // 2):
                raise NotEvaluable("undefined")
            return result
        return None

    def float(self, exact: Any) -> Any:
        """A value as a number of mpmath."""
        if isinstance(exact, Fraction):
            return self.mp.mpf(exact.numerator) / exact.denominator
        return exact

    def _log_of(self, x: Any, base: Any = None) -> Any:
        if x == 0:
            raise NotEvaluable("the logarithm of 0")
        if base is None:
            base = self.mp.e if self.log_base is None else Fraction(self.log_base)
        if isinstance(x, Fraction) and isinstance(base, Fraction) and base > 1 and x > 0:
            whole = round(float(self.mp.log(self.float(x)) / self.mp.log(self.float(base))))
            if abs(whole) < MAX_BITS and base**whole == x:
                return Fraction(whole)
        below = self.mp.log(self.float(base))
        if not below:
            raise NotEvaluable("the base 1")
        return self.mp.log(self.float(x)) / below

    def _factorial_of(self, x: Any) -> Any:
        if isinstance(x, Fraction) and x.denominator == 1:
            if x < 0:
                raise NotEvaluable("the factorial of a negative number")
            if x <= 2000:
                return _factorial(int(x))
        y = self.float(x)
        if self.mp.mag(y) > 56:
            raise NotEvaluable("too large")
        return self.mp.exp(self.mp.loggamma(y + 1)) if abs(y) > 10_000 else self.mp.factorial(y)

    def _factorial2_of(self, x: Any) -> Any:
        if self.mp.mag(self.float(x)) > 14:
            raise NotEvaluable("too large")
        return self.mp.fac2(self.float(x))

    def _binom_of(self, n: Any, k: Any) -> Any:
        if (
            all(isinstance(each, Fraction) and each.denominator == 1 for each in (n, k))
            and 0 <= k <= n <= 2000
        ):
            return _factorial(int(n)) / _factorial(int(k)) / _factorial(int(n - k))
        if max(self.mp.mag(self.float(each)) for each in (n, k) if each) > 30:
            raise NotEvaluable("too large")
        return self.mp.binomial(self.float(n), self.float(k))

    def _floor_of(self, x: Any) -> Any:
        return self._whole(x, self.mp.floor)

    def _ceil_of(self, x: Any) -> Any:
        return self._whole(x, self.mp.ceil)

    def _whole(self, x: Any, rounding: Any) -> Any:
        y = self.float(x)
        near = self.mp.nint(y)
        if abs(y - near) < self.mp.mpf(10) ** (-self.mp.dps // 2):
            return near
        return rounding(y)

    def _sign_of(self, x: Any) -> Any:
        return Fraction((x > 0) - (x < 0))

    def _max_of(self, *values: Any) -> Any:
        return max(values, key=self.float)

    def _min_of(self, *values: Any) -> Any:
        return min(values, key=self.float)

    def _gcd_of(self, *values: Any) -> Any:
        return Fraction(math.gcd(*map(_integer, values)))

    def _lcm_of(self, *values: Any) -> Any:
        return Fraction(math.lcm(*map(_integer, values)))

    def _mod_of(self, a: Any, b: Any) -> Any:
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return a % b
        return self.float(a) % self.float(b)

    def _re_of(self, x: Any) -> Any:
        return x if isinstance(x, Fraction) else x.real

    def _im_of(self, x: Any) -> Any:
        return Fraction(0) if isinstance(x, Fraction) else x.imag


def _integer(x: Any) -> int:
    if not isinstance(x, Fraction) or x.denominator != 1:
        raise NotEvaluable("expected whole numbers")
    return int(x)


@lru_cache(maxsize=256)
def _factorial(n: int) -> Fraction:
    return Fraction(math.factorial(n))


def exact_root(inside: Fraction, degree: int) -> Fraction | None:
    """The rational root of a positive number; None if it is not rational."""
    if inside <= 0 or degree > 64:
        return None
    parts = []
    for part in (inside.numerator, inside.denominator):
        root = _integer_root(part, degree)
        if root**degree != part:
            return None
        parts.append(root)
    return Fraction(parts[0], parts[1])


def _integer_root(number: int, degree: int) -> int:
    """The whole part of a root, by Newton's method."""
    if degree == 2:
        return math.isqrt(number)
    guess = 1 << -(-number.bit_length() // degree)
    while True:
        better = ((degree - 1) * guess + number // guess ** (degree - 1)) // degree
        if better >= guess:
            return guess
        guess = better
