"""The smallest parts of an expression: numbers, names, functions, brackets, fractions, matrices."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from qvl.reward.algebra.environments import environment
from qvl.reward.algebra.lexer import Token, Unreadable, single_letters
from qvl.reward.algebra.nodes import ONE, TEN, TRIGONOMETRIC, TWO, Node

MAX_DEPTH = 60
CLOSING = {"(": ")]", "[": ")]", "⦃": "⦄", "{": "}", "⟨": "⟩", "⌊": "⌋", "⌈": "⌉"}
_FRACTIONS = {"frac", "dfrac", "tfrac", "cfrac", "nicefrac", "sfrac", "rfrac"}
_BINOMIALS = {"binom", "dbinom", "tbinom"}
_ACCENTS = {"vec", "hat", "bar", "tilde", "dot", "ddot", "overline", "widehat", "widetilde", "overrightarrow",
            "overleftrightarrow", "overset", "underset", "check", "breve", "acute", "mathring", "overarc", "wideparen"}  # fmt: skip
_BIG = {
    "sum",
    "prod",
    "int",
    "iint",
    "iiint",
    "oint",
    "lim",
    "limsup",
    "liminf",
    "bigcup",
    "bigcap",
    "coprod",
}
_OPAQUE = set("fghFGPQ")  # in front of a bracket they are functions, unless the bracket has a sum


class Primaries(ABC):
    """Reads the smallest parts from tokens; the levels above them are the subclass's."""

    closed = ""
    """The bracket that closed the last list of items."""

    def __init__(self, found: list[Token], depth: int) -> None:
        self.found, self.at, self.depth = single_letters(found), 0, depth
        self.bars = 0  # where it is above 0, a bar closes

    @abstractmethod
    def relation(self) -> Node:
        """An item: a relation, or a set, or an expression."""

    @abstractmethod
    def sets(self) -> Node:
        """A union of sets, or an expression."""

    @abstractmethod
    def sum(self) -> Node:
        """A sum of products."""

    @abstractmethod
    def power(self) -> Node:
        """A factor: a primary with its exponents."""

    @abstractmethod
    def product(self) -> Node:
        """A product of factors."""

    @abstractmethod
    def listed(self, found: list[Token]) -> Node:
        """One item or a list, from other tokens."""

    # Tokens

    def _next(self) -> Token | None:
        return self.found[self.at] if self.at < len(self.found) else None

    def _is(self, text: str, kind: str = "symbol") -> bool:
        token = self._next()
        return token is not None and token.kind == kind and token.text == text

    def _takes(self, text: str, kind: str = "symbol") -> bool:
        if self._is(text, kind):
            self.at += 1
            return True
        return False

    def _needs(self, text: str) -> None:
        if not self._takes(text):
            raise Unreadable(f"{text!r} is missing")

    def _inside(self, read: Callable[[], Any], bars: int = 0) -> Any:
        """What `read` gives one level deeper, where bars have the given meaning."""
        if self.depth >= MAX_DEPTH:
            raise Unreadable("nested too deep")
        before, self.bars = self.bars, bars
        self.depth += 1
        node = read()
        self.depth -= 1
        self.bars = before
        return node

    def starts(self) -> bool:
        """Whether the next token begins a factor."""
        token = self._next()
        if token is None:
            return False
        if token.kind == "symbol":
            return token.text in "([⦃{⌊⌈⟨∅…∠△" or (token.text in "|‖" and not self.bars)
        if token.kind == "command":
            return not token.text.startswith("end ") and token.text not in ("pmod", "choose")
        return token.kind in ("number", "name", "letter", "function", "text")

    def signed(self, read: Callable[[], Node]) -> Node:
        if self._takes("-"):
            return ("neg", self.signed(read))
        self._takes("+")
        return read()

    def primary(self) -> Node:
        token = self._next()
        if token is None:
            raise Unreadable("an expression is missing")
        self.at += 1
        if token.kind == "number":
            return self._number(token)
        if token.kind in ("name", "letter"):
            return self._name(token.text)
        if token.kind == "text":
            return self._name(token.text)
        if token.kind == "function":
            return self._function(token.text)
        if token.kind == "command":
            return self._inside(lambda: self._command(token.text))
        return self._inside(lambda: self._bracket(token.text), bars=token.text in "|‖")

    def _number(self, token: Token) -> Node:
        value, decimals = token.value or Fraction(0), token.decimals
        for accent in ("overline", "dot", "bar"):
            if decimals is not None and self._takes(accent, "command"):
                digits = self._digits()
                repeated = Fraction(int(digits), 10 ** len(digits) - 1) / 10**decimals
                return ("num", value + repeated, None)
        if token.text.endswith(".") and self._takes("overline", "command"):
            digits = self._digits()
            return ("num", value + Fraction(int(digits), 10 ** len(digits) - 1), None)
        if self._takes("_"):
            base = self.primary()
            return ("based", token.text, base)
        return ("num", value, decimals)

    def _digits(self) -> str:
        braces = self._takes("{")
        token = self._next()
        if token is None or not token.text.isdecimal():
            raise Unreadable("digits are missing")
        self.at += 1
        if braces:
            self._needs("}")
        return token.text

    def _name(self, name: str) -> Node:
        while self._takes("_"):
            name = f"{name}_{self._subscript()}"
        while self._takes("'"):
            name += "'"
        if name.partition("_")[0].rstrip("'") in _OPAQUE and self._is("(") and self._calls():
            self.at += 1
            return ("call", f"{name}()", self._inside(lambda: self._items("(")))
        return ("name", name)

    def _calls(self) -> bool:
        """Whether the bracket that follows holds arguments, and no sum that a letter would multiply."""
        depth = 0
        for token in self.found[self.at :]:
            if token.kind == "symbol":
                depth += (token.text == "(") - (token.text == ")")
                if depth == 0:
                    return True
                if depth == 1 and token.text in "+-±":
                    return False
        return False

    def _subscript(self) -> str:
        """The subscript as text, without spaces and braces."""
        if not self._takes("{"):
            token = self._next()
            if token is None or token.text in "^_{}":
                raise Unreadable("a subscript is missing")
            self.at += 1
            return token.text
        texts, depth = [], 1
        while token := self._next():
            self.at += 1
            depth += (token.text == "{") - (token.text == "}")
            if depth == 0:
                return "".join(texts)
            texts.append(token.text)
        raise Unreadable("a brace is missing")

    def _function(self, name: str) -> Node:
        base: Node | None = None
        power: Node | None = None
        while self._is("_") or self._is("^"):
            if self._takes("_"):
                base = self._exponent()
            else:
                self.at += 1
                power = self._exponent()
        if name == "log" and base is None and self._has_base():  # log10(x)
            base = self.primary()
        if power == ("neg", ONE) and name in TRIGONOMETRIC:
            name, power = f"arc{name}", None
        arguments = self._arguments(name)
        if base is not None:
            arguments = (*arguments, base)
        if name == "exp":
            node: Node = ("pow", ("name", "e"), arguments[0])
        elif name == "abs":
            node = ("abs", arguments[0])
        elif name == "ln" or name == "lg":
            node = ("call", "log", (arguments[0], ("name", "e") if name == "ln" else TEN))
        elif name == "cbrt":
            node = ("root", ("num", Fraction(3), None), arguments[0])
        else:
            node = ("call", name, arguments)
        return node if power is None else ("pow", node, power)

    def _exponent(self) -> Node:
        return self._inside(lambda: self.signed(self.primary))

    def _has_base(self) -> bool:
        """Whether a number and a bracket follow at once."""
        number, bracket = [*self.found[self.at : self.at + 2], None, None][:2]
        return (
            number is not None
            and number.kind == "number"
            and not number.spaced
            and bracket is not None
            and bracket.text == "("
            and not bracket.spaced
        )

    def _arguments(self, name: str) -> tuple[Node, ...]:
        if self._is("(") or self._is("[") or self._is("⦃"):
            opening = self.found[self.at].text
            self.at += 1
            return self._inside(lambda: self._items(opening))
        if self._takes("{"):
            node = self._inside(lambda: self._bracket("{"))
            return node[1] if node[0] == "list" else (node,)
        node = self.signed(self.power)
        while self.starts() and self.found[self.at].kind != "function" and not self._is("("):
            node = ("mul", node, self.power())
        if self._is("/") and not _letters_of(node):  # sin pi/4
            self.at += 1
            node = ("div", node, self.power())
        return (node,)

    def _items(self, opening: str) -> tuple[Node, ...]:
        """The items up to the bracket that closes `opening`."""
        items = []
        while True:
            items.append(self.relation())
            token = self._next()
            if token is None:
                raise Unreadable("a bracket is not closed")
            self.at += 1
            if token.kind == "symbol" and token.text in CLOSING[opening]:
                self.closed = token.text
                return tuple(items)
            if token.kind != "separator":
                raise Unreadable(f"{token.text!r} is not expected")

    def _bracket(self, opening: str) -> Node:
        if opening in "|‖":
            node = self.sets()
            self._needs(opening)
            return ("abs", node)
        if opening == "∅":
            return ("set", ())
        if opening == "…":
            return ("dots",)
        if opening in "∠△":
            return ("name", f"{opening}{self.power()!r}")
        if opening not in CLOSING:
            raise Unreadable(f"{opening!r} is not expected")
        if opening in "⌊⌈":
            node = self.sum()
            self._needs(CLOSING[opening])
            return ("call", "floor" if opening == "⌊" else "ceil", (node,))
        if opening in "⦃{" and self._takes(CLOSING[opening]):
            return ("set", ())
        if opening == "⦃":
            return self._set()
        items = self._items(opening)
        if len(items) == 1:
            return items[0]
        if opening == "{":
            return ("list", items)
        left, right = ("(", ")") if opening == "⟨" else (opening, self.closed)
        return ("tuple", left, right, items)

    def _set(self) -> Node:
        self.bars = 1
        first = self.relation()
        self.bars = 0
        if self._takes("|") or self._takes(":"):
            return ("builder", first, self._items("⦃"))
        token = self._next()
        if token is not None and token.kind == "separator":
            self.at += 1
            return ("set", (first, *self._items("⦃")))
        self._needs("⦄")
        return ("set", (first,))

    def _command(self, name: str) -> Node:
        if name in _FRACTIONS:
            return ("div", self._operand(), self._operand())
        if name in _BINOMIALS:
            return ("call", "binom", (self._operand(), self._operand()))
        if name == "sqrt":
            degree: Node = TWO
            if self._takes("["):
                degree = self.sum()
                self._needs("]")
            return ("root", degree, self._operand())
        if name == "mathbb":
            return ("name", f"mathbb {self._letter()}")
        if name in _ACCENTS:
            return ("name", f"{name} {self._operand()!r}")
        if name.startswith("begin "):
            return self._environment(name[6:])
        if name in _BIG:
            return self._big(name)
        raise Unreadable(f"\\{name}")

    def _big(self, name: str) -> Node:
        """A sum, an integral or a limit: a function of its bounds and its terms, which is not evaluated."""
        bounds: dict[str, str] = {}
        while self._is("_") or self._is("^"):
            sign = self.found[self.at].text
            self.at += 1
            bounds[sign] = self._subscript()
        return ("call", f"{name} {bounds.get('_', '')} {bounds.get('^', '')}", (self.product(),))

    def _letter(self) -> str:
        braces = self._takes("{")
        token = self._next()
        if token is None:
            raise Unreadable("a letter is missing")
        self.at += 1
        if braces:
            self._needs("}")
        return token.text

    def _operand(self) -> Node:
        r"""An argument in braces, or one character: \frac12 is a half."""
        token = self._next()
        if (
            token is not None
            and token.kind == "number"
            and len(token.text) > 1
            and token.text.isdecimal()
        ):
            first, rest = token.text[0], token.text[1:]
            self.found[self.at] = Token("number", rest, Fraction(int(rest)))
            return ("num", Fraction(int(first)), None)
        return self.signed(self.primary)

    def _environment(self, name: str) -> Node:
        start, depth = self.at, 1
        while token := self._next():
            self.at += 1
            if token.kind == "command":
                depth += token.text.startswith("begin ") - token.text.startswith("end ")
                if depth == 0:
                    return environment(name, self.found[start : self.at - 1], self.listed)
        raise Unreadable(f"{name} is not closed")


def _letters_of(node: Any) -> bool:
    """Whether a tree has a letter other than pi."""
    if isinstance(node, tuple):
        if node and node[0] == "name":
            return node[1] != "pi"
        return any(_letters_of(each) for each in node)
    return False
