r"""The value of an expression at a point: exact while it is rational and short, else to DIGITS digits.

A point gives each letter a fixed number that looks random, so two expressions that are equal at a few points
are equal (Schwartz 1980, Zippel 1979). Letters are positive, as under a root of school mathematics, or of
either sign where an expression has an absolute value. A value is not computed beyond a size (2^(2^62), or
MAX_BITS exactly), so that 9^{9^{9^9}} takes no time: it is NotEvaluable, and so is division by zero.
"""

import zlib
from fractions import Fraction
from functools import lru_cache
from typing import Any

from qvl.errors import need
from qvl.reward.algebra.functions import MAX_BITS, Functions, NotEvaluable, exact_root
from qvl.reward.algebra.nodes import Node

DIGITS = 160
MAX_EXPONENT = 1 << 62  # of two, for any other value
MAX_TERMS = 60  # of gcd, max and others
_SIGNED = {"floor", "ceil", "sign", "max", "min", "mod", "Re", "Im"}


class Point:
    """The values of letters, and the choices that a reading leaves open."""

    def __init__(
        self, seed: int, *, signed: bool = False, log_base: int | None = None, plus: bool = True
    ) -> None:
        self.seed, self.signed, self.log_base, self.plus = seed, signed, log_base, plus
        """log_base: of \\log without a base, None for Euler's number; plus: the sign that \\pm stands for"""

    def letter(self, name: str) -> Any:
        """A number from 1/7 to 3 + 1/7 that no formula gives by chance."""
        context = _mp(DIGITS)
        draw = zlib.crc32(f"{self.seed}/{name}".encode())
        drawn = 3 * context.sqrt(context.mpf(draw + 1) / (1 << 32)) + context.mpf(1) / 7
        return -drawn if self.signed and draw & 1 else drawn


@lru_cache(maxsize=4)
def _mp(digits: int) -> Any:
    """A context of mpmath with that many digits, which only this module uses."""
    context = need("mpmath").MPContext()
    context.dps = digits
    return context


def value(node: Node, point: Point, digits: int = DIGITS) -> Any:
    """The value, a Fraction or a number of mpmath. NotEvaluable if it has none."""
    context = _mp(digits)
    context.dps = digits  # an alarm may have interrupted a function that changed it
    try:
        return _Evaluation(point, context).of(node)
    except (
        ArithmeticError,
        ValueError,
        OverflowError,
        TypeError,
        MemoryError,
        RecursionError,
    ) as error:
        if isinstance(error, NotEvaluable):
            raise
        raise NotEvaluable(str(error)) from None


def is_close(one: Any, other: Any) -> bool:
    """Whether two values are equal, as far as their digits tell; both are exact or both may be rounded."""
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return one == other
    a, b = number(one), number(other)
    return abs(a - b) <= _tolerance() * max(abs(a), abs(b))


@lru_cache(maxsize=1)
def _tolerance() -> Any:
    return _mp(DIGITS).mpf(10) ** (-DIGITS // 3)


def number(exact: Any, digits: int = DIGITS) -> Any:
    """A value as a number of mpmath."""
    context = _mp(digits)
    if isinstance(exact, Fraction):
        return context.mpf(exact.numerator) / exact.denominator
    return exact


def is_zero(node: Node, point: Point) -> bool:
    """Whether a value is 0: exactly, or smaller with each digit that is computed."""
    fine = value(node, point)
    if isinstance(fine, Fraction):
        return fine == 0
    coarse = number(value(node, point, DIGITS // 2))
    return abs(fine) <= abs(coarse) * _mp(DIGITS).mpf(10) ** (-DIGITS // 4) if coarse else True


def letters(node: Any) -> set[str]:
    """The names of a tree that stand for numbers that are not known."""
    if not isinstance(node, tuple) or not node:
        return set()
    if node[0] == "name":
        return set() if node[1] in ("pi", "e", "i") else {node[1]}
    if node[0] == "num":
        return set()
    return set().union(*map(letters, node))


def has(node: Any, *kinds: str) -> bool:
    """Whether a tree has a node of these kinds, or a call of these functions."""
    if not isinstance(node, tuple) or not node:
        return False
    if node[0] in kinds or (node[0] == "call" and node[1] in kinds):
        return True
    return node[0] != "num" and any(has(each, *kinds) for each in node)


def needs_signs(node: Node) -> bool:
    """Whether letters of both signs tell more: an absolute value, a sign, a whole part."""
    return has(node, "abs", *_SIGNED)


class _Evaluation:
    def __init__(self, point: Point, context: Any) -> None:
        self.point, self.mp = point, context
        self.functions = Functions(context, point.log_base)

    def of(self, node: Node) -> Any:
        found = getattr(self, f"_{node[0]}", None)
        if found is None:
            raise NotEvaluable(f"a {node[0]} has no value")
        return self._bounded(found(*node[1:]))

    def _bounded(self, result: Any) -> Any:
        if isinstance(result, Fraction):
            if max(result.numerator.bit_length(), result.denominator.bit_length()) > MAX_BITS:
                return self._bounded(self.functions.float(result))
            return result
        if isinstance(result, int):
            return self._bounded(Fraction(result))
        if not self.mp.isfinite(result):
            raise NotEvaluable("not finite")
        size = self.mp.mag(result) if result else 0
        if abs(size) > MAX_EXPONENT:
            raise NotEvaluable("too large")
        if isinstance(result, self.mp.mpc) and result.imag == 0:
            return result.real
        return result

    def _num(self, exact: Fraction, _: int | None) -> Fraction:
        return exact

    def _based(self, digits: str, base: Node) -> Fraction:
        radix = self.of(base)
        if (
            not isinstance(radix, Fraction)
            or radix.denominator != 1
            or not 2 <= radix <= 36
            or not digits.isalnum()
        ):
            raise NotEvaluable("a base is from 2 to 36")
        return Fraction(int(digits, int(radix)))

    def _name(self, name: str) -> Any:
        if name == "pi":
            return +self.mp.pi
        if name == "e":
            return +self.mp.e
        if name == "i":
            return self.mp.mpc(0, 1)
        return self.mp.convert(self.point.letter(name))

    def _dots(self) -> Any:
        return self._name("…")

    def _neg(self, a: Node) -> Any:
        return -self.of(a)

    def _add(self, a: Node, b: Node) -> Any:
        return self._both(self.of(a), self.of(b), lambda x, y: x + y)

    def _pm(self, a: Node, b: Node) -> Any:
        return self._add(a, b if self.point.plus else ("neg", b))

    def _mp(self, a: Node, b: Node) -> Any:
        return self._add(a, ("neg", b) if self.point.plus else b)

    def _mul(self, a: Node, b: Node) -> Any:
        return self._both(self.of(a), self.of(b), lambda x, y: x * y)

    def _div(self, a: Node, b: Node) -> Any:
        below = self.of(b)
        if not below or (not isinstance(below, Fraction) and abs(below) < self.mp.mpf(10) ** (-self.mp.dps // 2) and is_zero(b, self.point)):  # fmt: skip
            raise NotEvaluable("division by zero")
        return self._both(self.of(a), below, lambda x, y: x / y)

    def _both(self, a: Any, b: Any, operation: Any) -> Any:
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return operation(a, b)
        return operation(self.functions.float(a), self.functions.float(b))

    def _percent(self, a: Node) -> Any:
        return self._div(a, ("num", Fraction(100), None))

    def _degree(self, a: Node) -> Any:
        return self.functions.float(self.of(a)) * self.mp.pi / 180

    def _unit(self, a: Node, unit: str) -> Any:
        return self._percent(a) if unit == "percent" else self.of(a)

    def _abs(self, a: Node) -> Any:
        return abs(self.of(a))

    def _pow(self, a: Node, b: Node) -> Any:
        return self._power(self.of(a), self.of(b))

    def _power(self, base: Any, exponent: Any) -> Any:
        if isinstance(exponent, Fraction) and exponent.denominator == 1:
            whole = int(exponent)
            if base == 0:
                if whole <= 0:
                    raise NotEvaluable("0 to the power of 0 or less")
                return Fraction(0)
            if isinstance(base, Fraction):
                bits = max(base.numerator.bit_length(), base.denominator.bit_length())
                if base in (1, -1):
                    return base if whole % 2 else Fraction(1)
                if bits * abs(whole) <= MAX_BITS:
                    return base**whole
        if base == 0:
            raise NotEvaluable("a power of 0")
        x, y = self.functions.float(base), self.functions.float(exponent)
        size = self.mp.log(abs(x)) * y.real
        if abs(size) > MAX_EXPONENT / 2:
            raise NotEvaluable("too large")
        if isinstance(exponent, Fraction) and exponent.denominator == 1:
            return (
                x ** int(exponent) if abs(exponent) < 1 << 40 else self.mp.exp(self.mp.log(x) * y)
            )
        return self.mp.power(x, y)

    def _root(self, degree: Node, a: Node) -> Any:
        n, inside = self.of(degree), self.of(a)
        if not isinstance(n, Fraction) or n == 0:
            return self._power(inside, self._both(Fraction(1), n, lambda x, y: x / y))
        if inside == 0:
            return Fraction(0)
        if isinstance(inside, Fraction) and n.denominator == 1 and n > 0:
            exact = exact_root(inside, int(n))
            if exact is not None:
                return exact
        if not isinstance(inside, self.mp.mpc) and inside < 0 and n.denominator == 1 and n % 2:
            return -self._power(-self.functions.float(inside), 1 / n)  # the real root
        return self._power(inside, 1 / n)

    def _matrix(self, _: Any) -> Any:
        raise NotEvaluable("a matrix")

    def _call(self, name: str, arguments: tuple[Node, ...]) -> Any:
        if name == "det" and arguments[0][0] == "matrix":
            return self._determinant(arguments[0][1])
        if len(arguments) > MAX_TERMS:
            raise NotEvaluable("too many arguments")
        values = [self.of(each) for each in arguments]
        known = self.functions(name, values)
        return self._opaque(name, values) if known is None else known

    def _opaque(self, name: str, values: list[Any]) -> Any:
        """A function that is not known: a fixed number for each of its arguments."""
        shown = ",".join(self.mp.nstr(self.functions.float(each), 30) for each in values)
        return self.mp.convert(self.point.letter(f"{name}({shown})"))

    def _determinant(self, rows: tuple[tuple[Node, ...], ...]) -> Any:
        if len(rows) != len(rows[0]) or len(rows) > 6:
            raise NotEvaluable("a determinant of that shape")
        return self.of(_expanded(rows))


def _expanded(rows: tuple[tuple[Node, ...], ...]) -> Node:
    """A determinant as a sum, by its first row."""
    if len(rows) == 1:
        return rows[0][0]
    total: Node = ("num", Fraction(0), None)
    for column, entry in enumerate(rows[0]):
        minor = tuple(row[:column] + row[column + 1 :] for row in rows[1:])
        term = ("mul", entry, _expanded(minor))
        total = ("add", total, ("neg", term) if column % 2 else term)
    return total
