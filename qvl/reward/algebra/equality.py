r"""Whether an answer is the reference: by value, and by what kind of thing it is.

Numbers and expressions are equal if their values are, at several points and to 53 digits (`values`). A
decimal number of MIN_DECIMALS digits or more after the point also equals what it is the rounding of; all
other digits that are written count. A list is unordered, a tuple is ordered, an interval has its brackets.
`x = 5`, `x \in \{5\}` and `\{5\}` are 5; an equation is one up to a factor, an inequality is an interval.
A chain of equations is worth its last part, unless two of its numbers differ (`7 = x = 42`).
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from qvl.reward.algebra import units, values
from qvl.reward.algebra.forms import (
    COMPOUND,
    FLIPPED,
    as_interval,
    as_tuple,
    assigned,
    both_signs,
    difference,
    is_half_open,
    is_inequality,
    matrix,
    name_of,
    pieces,
    reduced,
    side,
    signs,
)
from qvl.reward.algebra.nodes import Node
from qvl.reward.algebra.values import NotEvaluable, Point

MIN_DECIMALS = 6  # of a decimal number that may be rounded; as in Math-Verify
MAX_ITEMS = 64  # of a list
_POINTS = [Point(seed) for seed in (1, 2, 3)]
_SIGNED_POINTS = [Point(seed, signed=True) for seed in (4, 5, 6, 7)]


def equal(gold: Node, found: Node) -> bool:
    """Whether an answer equals the reference."""
    if gold == found:
        return True
    if _has_open_log(gold) or _has_open_log(found):  # of base 10 or e, the same in both
        return any(_Comparison(base).same(gold, found) for base in (None, 10))
    return _Comparison(None).same(gold, found)


def _has_open_log(node: Any) -> bool:
    if not isinstance(node, tuple) or not node or node[0] == "num":
        return False
    return (node[0] == "call" and node[1] == "log" and len(node[2]) == 1) or any(
        map(_has_open_log, node)
    )


class _Comparison:
    def __init__(self, log_base: int | None) -> None:
        self.log_base = log_base
        self._values: dict[tuple[Node, int], Any] = {}

    def same(self, gold: Node, found: Node) -> bool:
        gold, found = reduced(gold), reduced(found)
        if gold == found:
            return True
        if gold[0] == "unit" or found[0] == "unit":
            return self._units(gold, found)
        if gold[0] == "text" or found[0] == "text":
            return gold[0] == found[0] and gold[1].casefold() == found[1].casefold()
        if gold[0] == "relation" or found[0] == "relation":
            return self._relations(gold, found)
        gold, found = self._expanded(gold), self._expanded(found)
        if "list" in (gold[0], found[0]) or "set" in (gold[0], found[0]):
            return self._collections(gold, found)
        if pieces(gold) or pieces(found):
            return self._sets(gold, found)
        if gold[0] == "tuple" or found[0] == "tuple":
            return self._tuples(gold, found)
        if matrix(gold) is not None or matrix(found) is not None:
            return self._matrices(gold, found)
        if gold[0] in COMPOUND or found[0] in COMPOUND:
            return False
        return self._expressions(gold, found)

    # Kinds

    def _units(self, gold: Node, found: Node) -> bool:
        if gold[0] == found[0] == "unit" and not units.agree(gold[2], found[2]):
            return False
        bare, other = (node[1] if node[0] == "unit" else node for node in (gold, found))
        if self.same(bare, other):
            return True
        if gold[0] == found[0] == "unit":
            return False
        of_unit = gold if gold[0] == "unit" else found
        scaled = {"percent": "percent", "degree": "degree"}.get(
            of_unit[2]
        )  # 50% is 1/2, 90 degrees are pi/2
        if scaled is None:
            return False
        gold, found = ((scaled, node[1]) if node[0] == "unit" else node for node in (gold, found))
        return self.same(gold, found)

    def _collections(self, gold: Node, found: Node) -> bool:
        if gold[0] == "tuple" and found[0] == "list":
            return self._ordered(gold[3], found[1])
        if found[0] == "tuple" and gold[0] == "list" and not is_half_open(found):
            return self._unordered(gold[1], found[3])
        unordered = {"list", "set"}
        if gold[0] not in unordered or found[0] not in unordered:
            if pieces(gold) or pieces(found):
                return self._sets(gold, found)
            one, many = (found, gold) if gold[0] in unordered else (gold, found)
            return len(many[1]) == 1 and self.same(many[1][0], one)
        if any(("dots",) in node[1] for node in (gold, found)):
            return self._ordered(gold[1], found[1])
        names = [assigned(each) for each in gold[1]]
        if (
            len(set(names)) == len(names) > 1
            and None not in names
            and all(assigned(each) is None for each in found[1])
        ):
            return self._ordered(gold[1], found[1])  # x = 1, y = 2 against 1, 2
        return self._unordered(gold[1], found[1])

    def _unordered(self, gold: Sequence[Node], found: Sequence[Node]) -> bool:
        if max(len(gold), len(found)) > MAX_ITEMS:
            return False
        gold, found = self._distinct(gold), self._distinct(found)
        if len(gold) != len(found):
            return False
        left = list(found)
        for each in gold:
            place = next((i for i, other in enumerate(left) if self.same(each, other)), None)
            if place is None:
                return False
            del left[place]
        return True

    def _distinct(self, items: Sequence[Node]) -> list[Node]:
        kept: list[Node] = []
        for each in items:
            if not any(
                each == other or (each[0] not in COMPOUND and self.same(each, other))
                for other in kept
            ):
                kept.append(each)
        return kept

    def _ordered(self, gold: Sequence[Node], found: Sequence[Node]) -> bool:
        return len(gold) == len(found) <= MAX_ITEMS and all(map(self.same, gold, found))

    def _tuples(self, gold: Node, found: Node) -> bool:
        gold, found = as_tuple(gold), as_tuple(found)
        if gold[0] != "tuple" or found[0] != "tuple":
            return False
        brackets = gold[1:3] == found[1:3] or len(gold[3]) > 2
        return brackets and self._ordered(gold[3], found[3])

    def _sets(self, gold: Node, found: Node) -> bool:
        one, other = (pieces(node) or [node] for node in (gold, found))
        return self._unordered(
            [as_interval(each) for each in one], [as_interval(each) for each in other]
        )

    def _matrices(self, gold: Node, found: Node) -> bool:
        one, other = matrix(gold), matrix(found)
        if one is None or other is None or [*map(len, one)] != [*map(len, other)]:
            return False
        return all(
            self.same(a, b)
            for row, row2 in zip(one, other, strict=True)
            for a, b in zip(row, row2, strict=True)
        )

    def _expanded(self, node: Node) -> Node:
        r"""The values that \pm stands for, as a list; in a list each item's."""
        if node[0] in ("list", "set"):
            items = [one for each in node[1] for one in (both_signs(each) or [each])]
            return (node[0], tuple(items))
        both = both_signs(node)
        return ("list", tuple(both)) if both else node

    # Relations

    def _relations(self, gold: Node, found: Node) -> bool:
        if gold[0] == found[0] == "relation":
            one, other = self._chain(gold), self._chain(found)
            if one is None or other is None:
                return False
            gold, found = one, other
            if signs(gold) == signs(found) == ("=",) and self._equations(gold, found):
                return True
            if is_inequality(gold) and is_inequality(found) and self._inequalities(gold, found):
                return True
            if (
                len(gold[1]) == len(found[1])
                and gold[1][1::2] == found[1][1::2]
                and all(map(self.same, gold[1][::2], found[1][::2]))
            ):
                return True
        intervals = [as_interval(node) for node in (gold, found)]
        if "relation" not in (intervals[0][0], intervals[1][0]):
            return self.same(*intervals)
        if gold[0] == "relation" and found[0] == "relation":
            return False
        relation, other = (gold, found) if gold[0] == "relation" else (found, gold)
        return any(
            self.same(*(pair if relation is found else pair[::-1]))
            for pair in self._worth(relation, other)
        )

    def _worth(self, relation: Node, other: Node) -> list[tuple[Node, Node]]:
        """(other, value) for each value that a relation states: after a name, or as the end of a computation."""
        parts = relation[1]
        exact = parts[: next((i for i in range(1, len(parts), 2) if parts[i] == "≈"), len(parts))]
        if any(sign != "=" for sign in exact[1::2]):
            return []
        rest = [*parts[len(exact) - 1 :]]
        if any(sign not in ("≈", "=") for sign in parts[1::2]):
            return []
        sides = exact[::2]
        if not self._is_consistent(sides):
            return []
        stated = []
        if len(sides) == 1:
            stated = [] if values.letters(sides[0]) and name_of(sides[0]) is None else [sides[0]]
            if name_of(sides[0]) is not None and len(rest) > 2:
                stated = [rest[2]]
        elif name_of(sides[-1]) is not None and name_of(sides[0]) is None and not len(sides) > 2:
            stated = [sides[0]]  # 5 = x
        elif name_of(sides[0]) is not None or (
            not values.letters(sides[-1]) and not values.letters(sides[0])
        ):
            stated = [sides[-1]]
        stated += [each for each in rest[2::2] if stated and self._is_rounding(stated[0], each)]
        return [(other, each) for each in stated]

    def _is_consistent(self, sides: Sequence[Node]) -> bool:
        """Whether no two numbers of a chain of equations differ."""
        numbers = [side for side in sides if side[0] not in COMPOUND and not values.letters(side)]
        return all(self._expressions(one, other) for one, other in pairwise(numbers))

    def _is_rounding(self, exact: Node, decimal: Node) -> bool:
        """Whether a decimal is what an exact value rounds to, in its digits."""
        written = _decimal(decimal)
        if written is None:
            return self.same(exact, decimal)
        try:
            difference = values.number(values.value(exact, self._at(1))) - values.number(written[0])
        except NotEvaluable:
            return False
        return abs(difference) * 10 ** written[1] <= 0.5

    def _chain(self, node: Node) -> Node | None:
        """A relation without its steps: a = b = c is a = c. None if two of its numbers differ."""
        parts = node[1]
        if len(parts) > 3 and all(sign == "=" for sign in parts[1::2]):
            return (
                ("relation", (parts[0], "=", parts[-1]))
                if self._is_consistent(parts[::2])
                else None
            )
        return node

    def _equations(self, gold: Node, found: Node) -> bool:
        one, other = assigned(gold), assigned(found)
        if one and other and one != other and all(len(each) == 1 for each in (one, other)):
            return False  # the line x = 3 is not the line y = 3
        if one and other and self.same(side(gold), side(found)):
            return True
        left, right = difference(gold), difference(found)
        return left is not None and right is not None and self._ratio(left, right) is not None

    def _inequalities(self, gold: Node, found: Node) -> bool:
        left, right = difference(gold), difference(found)
        if left is None or right is None:
            return False
        ratio = self._ratio(left, right)
        if ratio is None:
            return False
        sign = found[1][1]
        if sign == "≠":
            return gold[1][1] == "≠"
        return gold[1][1] == (sign if ratio > 0 else FLIPPED[sign])

    def _ratio(self, gold: Node, found: Node) -> Any:
        """The constant real number c with gold = c * found; None without one."""
        if values.letters(gold) != values.letters(found) or not values.letters(gold):
            return None
        try:
            ratios = []
            for point in self._points(gold, found):
                below = values.number(values.value(found, point))
                ratios.append(values.number(values.value(gold, point)) / below)
        except (NotEvaluable, ZeroDivisionError):
            return None
        first = ratios[0]
        if not first or not all(values.is_close(first, each) for each in ratios[1:]):
            return None
        return first if not hasattr(first, "_mpc_") else None

    # Values

    def _expressions(self, gold: Node, found: Node) -> bool:
        if gold[0] == "based" or found[0] == "based":
            return self._based(gold, found)
        try:
            if _rounded(gold, found) or _rounded(found, gold):
                return True
            return all(self._at_point(gold, found, point) for point in self._points(gold, found))
        except NotEvaluable:
            return False

    def _at_point(self, gold: Node, found: Node, point: Point) -> bool:
        if values.is_close(self._value(gold, point), self._value(found, point)):
            return True
        return values.is_zero(gold, point) and values.is_zero(found, point)

    def _value(self, node: Node, point: Point) -> Any:
        key = (node, point.seed)
        if key not in self._values:
            self._values[key] = values.value(node, point)
        return self._values[key]

    def _points(self, gold: Node, found: Node) -> list[Point]:
        if not values.letters(gold) and not values.letters(found) and not _is_opaque(gold):
            return [self._at(1)]
        signed = values.needs_signs(gold) or values.needs_signs(found)
        points = _POINTS + (_SIGNED_POINTS if signed else [])
        return [Point(each.seed, signed=each.signed, log_base=self.log_base) for each in points]

    def _at(self, seed: int) -> Point:
        return Point(seed, log_base=self.log_base)

    def _based(self, gold: Node, found: Node) -> bool:
        if gold[0] == found[0] == "based":
            return self._at_point(gold, found, self._at(1))
        based, plain = (gold, found) if gold[0] == "based" else (found, gold)
        return plain[0] == "num" and plain[2] is None and str(plain[1]) == based[1].lstrip("0")


def _is_opaque(node: Node) -> bool:
    return node[0] == "dots"


def _decimal(node: Node) -> tuple[Fraction, int] | None:
    """The value and the decimals of a number that is written with a decimal point; None for other trees."""
    if node[0] == "neg":
        inner = _decimal(node[1])
        return inner and (-inner[0], inner[1])
    return (node[1], node[2]) if node[0] == "num" and node[2] else None


def _rounded(decimal: Node, exact: Node) -> bool:
    """Whether a decimal number of many digits is the rounding of a value that is no decimal number."""
    written = _decimal(decimal)
    if written is None or _decimal(exact) is not None or values.letters(exact):
        return False
    number, decimals = written
    if (
        decimals < MIN_DECIMALS
        or len(str(abs(number.numerator) * 10**decimals // number.denominator)) < MIN_DECIMALS
    ):
        return False
    found = values.number(values.value(exact, Point(1)))
    return abs(found - values.number(number)) * 10**decimals <= 0.5
