r"""A mathematical text as a tree of tuples, or Unreadable: nothing is left out or guessed (qvl.reward.algebra.nodes).

A list has no brackets. A letter that follows another is a factor, and a function binds the factors that
follow it: \sin 2x y is the sine of 2xy, and 1/2x is half of x, as is written by hand.
"""

from functools import lru_cache
from typing import Any

from qvl.reward.algebra import units
from qvl.reward.algebra.environments import ROWS, split
from qvl.reward.algebra.lexer import Token, Unreadable, tokens
from qvl.reward.algebra.nodes import ZERO, Node
from qvl.reward.algebra.primaries import Primaries

MAX_TOKENS = 1200
_RELATIONS = set("=≠<>≤≥≈≡~≅∈∉∋⊂⊆⊃⊇⊥∥→⇔")


@lru_cache(maxsize=1 << 13)
def read(text: str, *, decimal_comma: bool = False) -> Node:
    """The tree of a text. Unreadable if it is not mathematics, or too long or too deep."""
    found = tokens(text, decimal_comma=decimal_comma)
    while (
        found
        and found[-1].kind in ("symbol", "separator")
        and found[-1].text in (".", ",", ";", "⏎", "?")
    ):
        found.pop()
    if not found:
        raise Unreadable("no expression")
    if len(found) > MAX_TOKENS:
        raise Unreadable("too many terms")
    return _listed(found, 0)


def _listed(found: list[Token], depth: int) -> Node:
    """One item, or a list of several; p = 5, q = 2; p = 7, q = 2 are two pairs."""
    found = _unwrapped(found)
    groups = [_items(each, depth) for each in split(found, ";") if each]
    items = [item for group in groups for item in group]
    sizes = {len(group) for group in groups}
    if len(groups) > 1 and len(sizes) == 1 and 1 not in sizes and all(map(_is_equation, items)):
        return ("list", tuple(("tuple", "(", ")", tuple(group)) for group in groups))
    if not items:
        raise Unreadable("no expression")
    return items[0] if len(items) == 1 else ("list", tuple(items))


def _items(found: list[Token], depth: int) -> list[Node]:
    return [_item(each, depth) for each in split(found) if each]


def _is_equation(node: Node) -> bool:
    return node[0] == "relation" and node[1][1::2] == ("=",)


def _unwrapped(found: list[Token]) -> list[Token]:
    r"""The last row of align* and others, whose rows are steps."""
    first, last = found[0].text, found[-1].text
    if first.startswith("begin ") and first[6:] in ROWS and last == f"end {first[6:]}":
        rows = split(found[1:-1], "⏎")
        filled = [row for row in rows if row]
        if filled:
            return [token for token in filled[-1] if token.text != "&"]
    return found


def _item(found: list[Token], depth: int) -> Node:
    while found and found[-1].text == "." and found[-1].kind == "symbol":
        found = found[:-1]
    if found and all(token.kind == "text" for token in found):
        return ("text", " ".join(token.text for token in found))
    if len(found) > 2 and found[0].kind == "text" and found[1].text == ":":
        found = found[2:]
    value, unit = units.split(found)
    parser = _Parser(value, depth)
    node = parser.relation()
    if parser.at < len(value):
        raise Unreadable(f"{value[parser.at].text!r} is not expected")
    if node[0] == "percent" and not unit:
        node, unit = node[1], "percent"
    elif node[0] == "degree" and not unit:
        node, unit = node[1], "degree"
    return ("unit", node, unit) if unit else node


class _Parser(Primaries):
    """Recursive descent over tokens."""

    def listed(self, found: list[Token]) -> Node:
        return _listed(found, self.depth)

    # Levels, from the loosest to the tightest

    def relation(self) -> Node:
        parts: list[Any] = []
        if self._next() and self.found[self.at].text in ("=", "≈"):  # "= 5"
            self.at += 1
        parts.append(self.sets())
        while (token := self._next()) and token.kind == "symbol" and token.text in _RELATIONS:
            self.at += 1
            if token.text == "=" and self._next() is None:  # "2 + 3 ="
                break
            parts += [token.text, self.sets()]
        return parts[0] if len(parts) == 1 else ("relation", tuple(parts))

    def sets(self) -> Node:
        node = self.sum()
        names = {"∪": "union", "∩": "intersection", "∖": "difference"}
        while (token := self._next()) and token.kind == "symbol" and token.text in names:
            self.at += 1
            node = (names[token.text], node, self.sum())
        return node

    def sum(self) -> Node:
        node: Node | None = None
        signs = {"+": "add", "-": "add", "±": "pm", "∓": "mp"}
        while True:
            token = self._next()
            if token is not None and token.kind == "symbol" and token.text in signs:
                self.at += 1
                term = self.product()
                term = ("neg", term) if token.text == "-" else term
                kind = signs[token.text]
                if node is None:
                    node = term if kind == "add" else (kind, ZERO, term)
                else:
                    node = (kind, node, term)
            elif node is None:
                node = self.product()
            elif self._takes("mod"):
                node = ("call", "mod", (node, self.product()))
            elif self._takes("pmod", "command"):
                node = ("call", "modulo", (node, self.primary()))
            elif self._takes("choose", "command"):
                return ("call", "binom", (node, self.sum()))
            else:
                return node

    def product(self) -> Node:
        node = self.factors()
        while True:
            if self._takes("*"):
                node = ("mul", node, self.signed(self.factors))
            elif self._is("/") or (self._is(":") and not self.bars):
                self.at += 1
                below = self.signed(self.power)
                while self.starts() and not (node[0] == below[0] == "num") and not self.found[self.at].spaced:  # fmt: skip
                    below = ("mul", below, self.power())
                node = ("div", node, below)
                while self.starts():
                    node = ("mul", node, self.power())
            else:
                return node

    def factors(self) -> Node:
        node = self.signed(self.power) if self._is("-") or self._is("+") else self.power()
        while self.starts():
            before, token = self.found[self.at - 1], self.found[self.at]
            if token.kind == "number" and before.kind in ("number", "name", "letter"):
                raise Unreadable(f"{before.text} {token.text}: an operator is missing")
            other = self.power()
            if _is_mixed(node, other, before, token):
                node = ("add", node, other)
            else:
                node = ("mul", node, other)
        return node

    def power(self) -> Node:
        node = self.primary()
        while token := self._next():
            if token.kind != "symbol" or token.text not in "^!%°'":
                break
            self.at += 1
            if token.text == "^":
                node = self._raised(node)
            elif token.text == "!":
                double = self._takes("!")
                node = ("call", "factorial2" if double else "factorial", (node,))
            elif token.text == "'":
                node = ("call", "prime", (node,))
            else:
                node = ("percent" if token.text == "%" else "degree", node)
        return node

    def _raised(self, node: Node) -> Node:
        if self._takes("°"):
            return ("degree", node)
        texts = [token.text for token in self.found[self.at : self.at + 3]]
        if texts in (["{", "°", "}"], ["{", "'", "}"]):
            self.at += 3
            return ("degree", node) if texts[1] == "°" else ("call", "prime", (node,))
        exponent = self._exponent()
        if self._takes("^"):
            exponent = self._raised(exponent)
        return ("pow", node, exponent)


def _is_mixed(node: Node, other: Node, before: Token, token: Token) -> bool:
    r"""Whether 3\frac{1}{2} is a mixed number: a whole one, then a fraction below 1 of plain digits."""
    return (
        before.kind == "number" and node[0] == "num" and node[2] is None
        and token.kind == "command" and other[0] == "div" and other[1][0] == other[2][0] == "num"
        and 0 < other[1][1] < other[2][1]
    )  # fmt: skip
