"""The expression language of select, mix and other commands: 'task == "math" and scores.quality >= 4'.

An expression is parsed by hand into closures, without eval: it reaches no attribute of a Python object.
This file has the grammar; what a function such as len() or an operator does is in qvl.streams.functions,
in the tables FUNCTIONS, ARITHMETIC and ORDERS.

    or          and ("or" and)*
    and         not ("and" not)*
    not         "not" not | comparison
    comparison  sum [("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not" "in") sum]
    sum         product (("+" | "-") product)*
    product     signed (("*" | "/" | "%") signed)*
    signed      "-" signed | value step*
    step        "." NAME | "[" INTEGER | STRING | "*" "]"
    value       NUMBER | STRING | true | false | null | NAME | NAME "(" arguments ")"
                | "[" arguments "]" | "(" or ")"

A name may have hyphens before a letter, as in scores.filter-queries; a subtraction is written with spaces,
a - b.

Why not an existing language? Scores are named after stages, and records lack fields all the time. In CEL
(Common Expression Language) scores.filter-queries is a subtraction and an absent field an error, so every
threshold would need scores["filter-queries"] and has(). Python's grammar, with a whitelist over `ast`, has
the same hyphens and no [*]; True, None and chained comparisons would change what users have written, and the
parser's errors are not in terms of the language. Both would leave functions.py as it is.
"""

import difflib
import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from qvl.errors import UserError
from qvl.streams.fields import Fields
from qvl.streams.functions import ARITHMETIC, FUNCTIONS, ORDERS, Unlike, equal, matcher
from qvl.streams.tokens import Token, tokens, unquote

MAX_DEPTH = 50  # a level costs a dozen frames of Python's stack of 1,000
MAX_DIGITS = 300  # as many as the largest float has

Value = Callable[[dict], Any]
EACH = object()  # the step [*]

_CONSTANTS = {"true": True, "false": False, "null": None}
_WORDS = {"and", "or", "not", "in", *_CONSTANTS}
_HINTS = {"=": "==", "&&": "and", "||": "or", "!": "not"}


class Expression:
    """A parsed expression. Called with a record it returns a JSON value."""

    def __init__(self, source: str) -> None:
        """UserError with the column of the first error in `source`."""
        parser = Parser(source)
        self.source = source
        self._value = parser.whole()
        self._unlike = parser.unlike
        self.fields = Fields(parser.paths)

    def __call__(self, record: dict) -> Any:
        if self.fields.absent:
            self.fields.look(record)
        return self._value(record)

    @property
    def unlike(self) -> int:
        """The number of comparisons so far of values without an order, such as "9" > 3."""
        return self._unlike.count


def option(flag: str, source: str) -> Expression:
    """The expression that a flag has as its value; errors begin with the flag's name."""
    try:
        return Expression(source)
    except UserError as error:
        raise UserError(f"{flag}: {error}") from None


class Parser:
    """Parses one expression; a subclass parses more around it."""

    def __init__(self, source: str) -> None:
        self.tokens = list(tokens(source))
        self.at = 0
        self.depth = 0
        self.unlike = Unlike()
        self.paths: list[tuple[str, ...]] = []  # the fields that the expression reads
        # The strings that are written out, by what returns them.
        self.strings: dict[Value, str] = {}

    def whole(self) -> Value:
        if self.next.kind == "end":
            self.fail("empty; write a condition such as 'task == \"math\"'")
        value = self.either()
        if self.next.kind != "end":
            if self.next.text in (*ORDERS, "==", "!=", "in"):
                self.fail("comparisons do not chain; join two with and")
            self.fail(f"unexpected {self.next.text!r}")
        return value

    # Each method below parses one rule of the grammar.

    def either(self) -> Value:
        values = [self.all()]
        while self.accept("or"):
            values.append(self.all())
        return values[0] if len(values) == 1 else _until(True, values)

    def all(self) -> Value:
        values = [self.negated()]
        while self.accept("and"):
            values.append(self.negated())
        return values[0] if len(values) == 1 else _until(False, values)

    def negated(self) -> Value:
        if self.accept("not"):
            with self.deeper():
                value = self.negated()
            return lambda r: not value(r)
        return self.comparison()

    def comparison(self) -> Value:
        left = self.sum()
        if self.accept("=="):
            return self.equality(left, self.sum())
        if self.accept("!="):
            right = self.sum()
            return lambda r: not equal(left(r), right(r))
        if self.accept("in"):
            return _both(self.unlike.contained, left, self.sum())
        if self.next.text == "not" and self.tokens[self.at + 1].text == "in":
            self.at += 2
            right = self.sum()
            return lambda r: not self.unlike.contained(left(r), right(r))
        for sign, compare in ORDERS.items():
            if self.accept(sign):
                return _both(self.unlike.ordered(compare), left, self.sum())
        return left

    def equality(self, left: Value, right: Value) -> Value:
        """Whether two values are equal; a written string is compared as it is, the most frequent case."""
        string = self.strings.get(right)
        if string is None:
            return _both(equal, left, right)
        return lambda r: left(r) == string

    def sum(self) -> Value:
        return self.chain(("+", "-"), self.product)

    def product(self) -> Value:
        return self.chain(("*", "/", "%"), self.signed)

    def chain(self, signs: tuple[str, ...], operand: Callable[[], Value]) -> Value:
        """Operands of one precedence, evaluated in a loop: a long chain nests nothing."""
        first, rest = operand(), []
        while self.next.kind == "sign" and self.next.text in signs:
            compute = ARITHMETIC[self.take().text]
            rest.append((compute, operand()))
        if not rest:
            return first

        def computed(record: dict) -> Any:
            value = first(record)
            for compute, other in rest:
                value = compute(value, other(record))
            return value

        return computed

    def signed(self) -> Value:
        if self.accept("-"):
            with self.deeper():
                value = self.signed()
            return lambda r: ARITHMETIC["-"](0, value(r))
        token, call = self.next, self.tokens[min(self.at + 1, len(self.tokens) - 1)].text == "("
        value = self.value()
        steps = self.steps()
        if token.kind == "name" and token.text not in _WORDS and not call:
            names = itertools.takewhile(lambda step: isinstance(step, str), steps)
            self.paths.append((token.text, *names))
        return (lambda r: walk(value(r), steps)) if steps else value

    def steps(self) -> list[Any]:
        steps = []
        while (step := self.step()) is not None:
            steps.append(step)
        return steps

    def step(self) -> Any:
        """A name, an index or EACH; None if no step follows."""
        if self.accept("."):
            if self.next.kind != "name":
                self.fail(f"a field's name follows the dot, not {self.next.text!r}")
            return self.take().text
        if self.accept("["):
            step = self.subscript()
            self.expect("]")
            return step
        return None

    def subscript(self) -> Any:
        if self.accept("*"):
            return EACH
        if self.next.kind == "string":
            return unquote(self.take().text)
        sign = -1 if self.accept("-") else 1
        if self.next.kind != "number" or not self.next.text.isdigit() or len(self.next.text) > 9:
            self.fail("between [ and ] goes a whole number, a quoted name or *")
        return sign * int(self.take().text)

    def value(self) -> Value:
        token = self.take()
        if token.kind == "number":
            number = self.number(token)
            return lambda r: number
        if token.kind == "string":
            string = unquote(token.text)

            def written(record: dict) -> str:
                return string

            self.strings[written] = string
            return written
        if token.kind == "name":
            return self.named(token)
        if token.text == "(":
            with self.deeper():
                value = self.either()
            self.expect(")")
            return value
        if token.text == "[":
            items = self.arguments("]")
            return lambda r: [item(r) for item in items]
        self.at -= 1
        return self.fail(f"expected a value, found {token.text!r}")

    def named(self, token: Token) -> Value:
        name = token.text
        if name in _CONSTANTS:
            constant = _CONSTANTS[name]
            return lambda r: constant
        if name in _WORDS:
            self.at -= 1
            self.fail(f"expected a value, found {name!r}")
        if not self.accept("("):
            return lambda r: r.get(name)
        if name == "has":
            return self.presence()
        if name == "matches":
            return self.match()
        if name not in FUNCTIONS:
            self.at -= 2
            near = difflib.get_close_matches(name, [*FUNCTIONS, "has", "matches"], 1)
            known = near or sorted([*FUNCTIONS, "has", "matches"])
            self.fail(f"no function {name}(); there is {', '.join(known)}")
        arguments = self.arguments(")")
        call, fewest, most = FUNCTIONS[name]
        if not fewest <= len(arguments) <= most:
            count = str(most) if fewest == most else f"{fewest} or {most}"
            raise UserError(f"column {token.column}: {name}() takes {count} value(s)")
        if not arguments:
            return call
        if len(arguments) == 1:
            (only,) = arguments
            return lambda r: call(r, only(r))
        return lambda r: call(r, *[argument(r) for argument in arguments])

    def presence(self) -> Value:
        """has(PATH): the field is there, be it null."""
        if self.next.kind != "name" or self.next.text in _WORDS:
            self.fail("has() expects a field, such as has(scores.quality)")
        *path, last = [self.take().text, *self.steps()]
        if last is EACH:
            self.fail("has() cannot end in [*]; use len()")
        self.expect(")")

        def present(record: dict) -> bool:
            parent = walk(record, path)
            if isinstance(parent, list) and isinstance(last, int):
                return -len(parent) <= last < len(parent)
            return isinstance(parent, dict) and last in parent

        return present

    def match(self) -> Value:
        """matches(TEXT, "PATTERN"): the pattern is written out, so that it is compiled once."""
        with self.deeper():
            text = self.either()
        self.expect(",")
        if self.next.kind != "string":
            self.fail("the pattern of matches() is a quoted string")
        token = self.take()
        self.expect(")")
        try:
            matches = matcher(unquote(token.text))
        except (re.error, OverflowError, RecursionError) as error:
            raise UserError(f"column {token.column}: invalid pattern: {error}") from None
        return lambda r: matches(text(r))

    def arguments(self, close: str) -> list[Value]:
        values = []
        with self.deeper():
            while not self.accept(close):
                values.append(self.either())
                if not self.accept(","):
                    self.expect(close)
                    break
        return values

    def number(self, token: Token) -> int | float:
        digits = token.text.replace("_", "")
        number = int(digits) if digits.isdigit() and len(digits) <= MAX_DIGITS else float(digits)
        if number == float("inf"):
            raise UserError(f"column {token.column}: the number is too large")
        return number

    # The position in the source.

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.tokens[self.at]
        if token.kind != "end":  # the end is never consumed
            self.at += 1
        elif self.at:
            raise UserError(f"column {token.column}: expected a value, found the end")
        return token

    def accept(self, text: str) -> bool:
        if self.next.text == text and self.next.kind in ("sign", "name"):
            self.at += 1
            return True
        if self.next.kind == "sign" and self.next.text in _HINTS:
            self.fail(f"{self.next.text!r} is written {_HINTS[self.next.text]!r} here")
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            self.fail(f"expected {text!r}, found {self.next.text!r}")

    def fail(self, message: str) -> Any:
        raise UserError(f"column {self.next.column}: {message}")

    @contextmanager
    def deeper(self) -> Iterator[None]:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH} levels")
        yield
        self.depth -= 1


def walk(value: Any, steps: list[Any]) -> Any:
    """Follow names, indices and [*] from a value; null if a step leads nowhere."""
    for number, step in enumerate(steps):
        if step is EACH:
            if not isinstance(value, list):
                return None
            rest = steps[number + 1 :]
            found = [walk(one, rest) for one in value]
            if EACH in rest:
                found = [one for inner in found for one in inner or ()]
            return [one for one in found if one is not None]
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        elif isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def _until(stop: bool, values: list[Value]) -> Value:
    """`or` stops at the first value that counts as true, `and` at the first that counts as false.

    A loop, as the generator that any() and all() take costs as much as three values.
    """

    def found(record: dict) -> bool:
        for value in values:
            if bool(value(record)) is stop:
                return stop
        return not stop

    return found


def _both(function: Callable[[Any, Any], Any], left: Value, right: Value) -> Value:
    return lambda r: function(left(r), right(r))
