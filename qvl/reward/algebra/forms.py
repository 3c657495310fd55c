r"""What the tree of an answer states: a set, an interval, a name and its value, the entries of a matrix."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from qvl.reward.algebra import values
from qvl.reward.algebra.nodes import INFINITY, Node
from qvl.reward.algebra.values import NotEvaluable, Point

FLIPPED = {"<": ">", ">": "<", "≤": "≥", "≥": "≤", "=": "=", "≠": "≠"}
_REALS = ("tuple", "(", ")", (("neg", INFINITY), INFINITY))
COMPOUND = {
    "list",
    "set",
    "tuple",
    "matrix",
    "union",
    "intersection",
    "difference",
    "builder",
    "relation",
    "text",
}


def reduced(node: Node) -> Node:
    r"""What a tree states: x \in S is S, A(1, 2) and (x, y) = (1, 2) are (1, 2), {5} is 5."""
    while True:
        if node[0] == "relation" and len(node[1]) == 3:
            left, sign, right = node[1]
            if sign == "∈" and (name_of(left) is not None or left[0] == "tuple"):
                node = right
                continue
            if (
                sign == "="
                and (
                    left[0] == "tuple"
                    or right[0] in ("tuple", "list", "set", "matrix", "union", "text")
                )
                and (
                    left[0] == "name"
                    or left[0] == "call"
                    or (left[0] == "tuple" and all(each[0] == "name" for each in left[3]))
                )
            ):
                node = right
                continue
        if node[0] == "mul" and node[1][0] == "name" and node[2][0] == "tuple":
            node = node[2]
            continue
        if node[0] in ("list", "set") and len(node[1]) == 1:
            node = node[1][0]
            continue
        if node[0] == "builder" and len(node[2]) == 1:
            interval = as_interval(node[2][0])
            name = name_of(_reduced_membership(node[1]))
            if (
                name is not None
                and interval[0] != "relation"
                and values.letters(node[2][0]) - {"infty"} <= {name}
            ):
                node = interval
                continue
        if node == ("name", "mathbb R"):
            return _REALS
        return node


def _reduced_membership(node: Node) -> Node:
    if node[0] == "relation" and len(node[1]) == 3 and node[1][1] == "∈":
        return node[1][0]
    return node


def name_of(node: Node) -> str | None:
    """The name that an answer may be given: x, S, f(x)."""
    if node[0] == "name" and node[1] not in ("pi", "e", "i", "infty"):
        return node[1]
    if node[0] == "call" and node[1].endswith("()"):
        return node[1]
    if (
        node[0] == "mul"
        and node[1][0] == node[2][0] == "name"
        and len(node[1][1]) > 1
        and len(node[2][1]) > 1
    ):
        return f"{node[1][1]} {node[2][1]}"  # words
    if node[0] in ("abs", "mul", "div") and _is_quantity(node):
        return repr(node)
    return None


def _is_quantity(node: Node) -> bool:
    """Whether a tree is a length or ratio of points, such as |AB| or AB/CD: capital letters alone."""
    if node[0] == "name":
        return node[1][0].isupper() and node[1].partition("_")[0].isalpha()
    return node[0] in ("abs", "mul", "div") and all(map(_is_quantity, node[1:]))


def assigned(node: Node) -> str | None:
    """The name of an equation that gives a name a value; None for other trees."""
    if node[0] != "relation" or signs(node) != ("=",):
        return None
    return name_of(node[1][0]) or name_of(node[1][2])


def side(node: Node) -> Node:
    """The value of an equation that gives a name a value."""
    return node[1][2] if name_of(node[1][0]) is not None else node[1][0]


def signs(node: Node) -> tuple[str, ...]:
    return tuple(node[1][1::2])


def is_inequality(node: Node) -> bool:
    return len(node[1]) == 3 and node[1][1] in "<>≤≥≠"


def difference(node: Node) -> Node | None:
    left, _, right = node[1]
    if left[0] in COMPOUND or right[0] in COMPOUND:
        return None
    left, right = (side[1] if side[0] == "unit" else side for side in (left, right))
    return ("add", left, ("neg", right))


def as_interval(node: Node) -> Node:
    """The interval of an inequality of one letter, such as 0 <= x < 1; else the node itself."""
    node = reduced(node) if node[0] != "relation" else node
    if node[0] != "relation" or any(sign not in "<>≤≥" for sign in node[1][1::2]):
        if node[0] == "relation" and signs(node) == ("≠",) and name_of(node[1][0]) is not None:
            at = node[1][2]
            return (
                "union",
                ("tuple", "(", ")", (("neg", INFINITY), at)),
                ("tuple", "(", ")", (at, INFINITY)),
            )
        return node
    parts: tuple[Any, ...] = node[1]
    if len({sign in "<≤" for sign in parts[1::2]}) > 1:
        return node
    if parts[1] in ">≥":
        parts = tuple(
            FLIPPED.get(each, each) if isinstance(each, str) else each for each in parts[::-1]
        )
    if len(parts) == 3:
        if name_of(parts[0]) is not None and not values.letters(parts[2]) & values.letters(
            parts[0]
        ):
            return ("tuple", "(", "]" if parts[1] == "≤" else ")", (("neg", INFINITY), parts[2]))
        if name_of(parts[2]) is not None:
            return ("tuple", "[" if parts[1] == "≤" else "(", ")", (parts[0], INFINITY))
    if len(parts) == 5 and name_of(parts[2]) is not None:
        opening, closing = "[" if parts[1] == "≤" else "(", "]" if parts[3] == "≤" else ")"
        return ("tuple", opening, closing, (parts[0], parts[4]))
    return node


def pieces(node: Node) -> list[Node] | None:
    """The parts of a union, or of the real numbers without some; None for other trees."""
    if node[0] == "union":
        return [
            piece for each in node[1:] for piece in (pieces(reduced(each)) or [as_interval(each)])
        ]
    if node[0] == "difference" and reduced(node[1]) == _REALS:
        out = node[2][1] if node[2][0] in ("set", "list") else (node[2],)
        try:
            points = sorted(out, key=lambda each: values.number(values.value(each, Point(1))))
        except (NotEvaluable, TypeError):
            return None
        edges = [("neg", INFINITY), *points, INFINITY]
        return [("tuple", "(", ")", pair) for pair in pairwise(edges)]
    if node[0] == "list" and len(node[1]) > 1:
        intervals = [as_interval(each) for each in node[1]]
        if all(each[0] in ("tuple", "union") for each in intervals) and any(
            each[0] == "relation" for each in node[1]
        ):
            return [piece for each in intervals for piece in (pieces(each) or [each])]
    return None


def is_half_open(node: Node) -> bool:
    return node[0] == "tuple" and node[1:3] != ("(", ")")


def as_tuple(node: Node) -> Node:
    """A column or a row as a tuple."""
    rows = matrix(node) if node[0] == "matrix" else None
    if rows and (len(rows) == 1 or len(rows[0]) == 1):
        return ("tuple", "(", ")", tuple(cell for row in rows for cell in row))
    return node


def matrix(node: Node) -> list[list[Node]] | None:
    """The entries of a matrix, of a sum or product of matrices, or of a multiple; None for other trees."""
    if node[0] == "matrix":
        return [list(row) for row in node[1]]
    if node[0] == "tuple":
        return [[each] for each in node[3]]
    if node[0] in ("neg", "mul", "div", "add"):
        parts = [matrix(each) if values.has(each, "matrix") else None for each in node[1:]]
        if node[0] == "neg" and parts[0]:
            return _each(parts[0], lambda cell: ("neg", cell))
        if node[0] == "div" and parts[0] and not parts[1]:
            return _each(parts[0], lambda cell: ("div", cell, node[2]))
        if node[0] == "mul" and (parts[0] is None) != (parts[1] is None):
            scalar = node[1] if parts[0] is None else node[2]
            return _each(parts[0] or parts[1] or [], lambda cell: ("mul", scalar, cell))
        if len(parts) == 2 and parts[0] and parts[1]:
            return _combined(node[0], parts[0], parts[1])
    return None


def _combined(kind: str, one: list[list[Node]], other: list[list[Node]]) -> list[list[Node]] | None:
    if kind == "add" and [*map(len, one)] == [*map(len, other)]:
        return [
            [("add", a, b) for a, b in zip(*rows, strict=True)]
            for rows in zip(one, other, strict=True)
        ]
    if kind == "mul" and len(one[0]) == len(other) and len(one) * len(other) * len(other[0]) <= 512:
        return [
            [
                _sum([("mul", a, b) for a, b in zip(row, column, strict=True)])
                for column in zip(*other, strict=True)
            ]
            for row in one
        ]
    return None


def _sum(terms: list[Node]) -> Node:
    total = terms[0]
    for each in terms[1:]:
        total = ("add", total, each)
    return total


def _each(rows: list[list[Node]], change: Callable[[Node], Node]) -> list[list[Node]]:
    return [[change(cell) for cell in row] for row in rows]


def both_signs(node: Node) -> list[Node] | None:
    r"""The two readings of an expression with \pm; None without one."""
    if not values.has(node, "pm", "mp"):
        return None
    return [_signed(node, plus) for plus in (True, False)]


def _signed(node: Any, plus: bool) -> Any:
    if not isinstance(node, tuple) or not node or node[0] == "num":
        return node
    if node[0] in ("pm", "mp"):
        a, b = (_signed(each, plus) for each in node[1:])
        return ("add", a, b if plus == (node[0] == "pm") else ("neg", b))
    return tuple(_signed(each, plus) for each in node)
