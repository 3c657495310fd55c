r"""Tokens of a mathematical text, in LaTeX or plain.

Spaces, size and style commands and dollar signs are dropped; everything else becomes a token, so that
nothing is read by halves. Numbers:

    1,234  1{,}234  1\,234  1 234    groups of three digits are thousands (a comma only outside brackets)
    1{,}5  3,07  0,25  1.234,56  1,5;2,5   a decimal comma
    1,5                              two numbers; with decimal_comma=True, which the caller sets: 1.5
    1.6e-19  1.6E-19  1e5            scientific notation; but 2e-1 (to 2e-3) is twice Euler's number, less one
    3 1/2  3\frac{1}{2}  0.\overline{3}   mixed and repeating numbers (the latter two in the parser)
"""

import re
from fractions import Fraction
from typing import NamedTuple

from qvl.reward.algebra.symbols import (
    CURRENCY,
    CURRENCY_COMMANDS,
    DROPPED,
    FUNCTIONS,
    GREEK,
    NAMED,
    OTHER_NAMES,
    SEPARATORS,
    SYMBOLS,
    TEXTUAL,
    VARIABLES,
    VARIANTS,
    in_latex,
)

MAX_DIGITS = 2500  # of a number
_DIFFERENTIALS = set("xyztu")


class Unreadable(ValueError):
    """The text is not a mathematical expression that is known here."""


class Token(NamedTuple):
    kind: str
    """number, name, function, run (letters), text, command, symbol or separator"""
    text: str
    value: Fraction | None = None
    decimals: int | None = None
    """The digits after the point that are written; None for a whole number."""
    spaced: bool = False
    """After a space."""


_THIN = "(?:\\\\[,:; !]|\\s|~|[\u00a0\u2009\u202f])"
_WHOLE = rf"\d{{1,3}}(?:{_THIN}\d{{3}})+(?!\d)|\d{{1,3}}(?:\{{,\}}(?:\\!)?\d{{3}})+(?!\d)"
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:,(?:\\!\s*)?\d{3})+(?![\d,]*\d)(?:\.\d+)?")
_EUROPEAN = re.compile(
    r"\d{1,3}(?:\.\d{3})+,\d+(?![\d,])|\d{1,3}(?:\.\d{3}){2,}(?![\d.])|(?:\d+,0\d|0,\d\d)\d*(?![\d,.])|\d+\{,\}\d+"
)
_DECIMAL_COMMA = re.compile(r"\d+,\d+(?![\d,.])")
_MIXED = re.compile(r"(\d{1,9})\s+(\d{1,9})/(\d{1,9})(?![\d.])")
_NUMBER = re.compile(rf"(?:(?:{_WHOLE}|\d+)(?:\.\d*)?|\.\d+)")
_EXPONENT = re.compile(r"[eE]([-+]?\d{1,6})(?![\d.])")
_COMMAND = re.compile(r"\\([A-Za-z]+)\*?|\\(.)", re.DOTALL)
_SPACE = re.compile("(?:\\\\[,:;! ]|[\\s~\u2009\u202f\u200b\ufeff])+")
_LETTERS = re.compile(r"[A-Za-z]+")
_WORD = re.compile(r"[^\W\d_]+")
_OPENS, _CLOSES = set("([⦃"), set(")]⦄")
_RELATIONS = [("<=", "≤"), (">=", "≥"), ("=<", "≤"), ("!=", "≠"), ("==", "="), ("**", "^"), ("...", "…"),
              ("->", "→"), ("=>", "→"), ("~=", "≈")]  # fmt: skip


def tokens(text: str, *, decimal_comma: bool = False) -> list[Token]:
    """The tokens of a text. Unreadable if a command or its argument is not known."""
    if not text.isascii():
        text = in_latex(text)
    return list(_Lexer(text, decimal_comma=decimal_comma or ";" in text).run())


def single_letters(found: list[Token]) -> list[Token]:
    """Tokens in which a run of letters is several names; dx stays one, as does \\mathrm{d}x."""
    result: list[Token] = []
    for token in found:
        if (
            result
            and result[-1] == ("letter", "d", None, None, result[-1].spaced)
            and token.text in _DIFFERENTIALS
        ):
            result[-1] = Token("name", f"d{token.text}", spaced=result[-1].spaced)
        elif token.kind != "run":
            result.append(token)
        elif len(token.text) == 2 and token.text[0] == "d" and token.text[1] in _DIFFERENTIALS:
            result.append(token._replace(kind="name"))
        else:
            for place, letter in enumerate(token.text):
                result.append(Token("name", letter, spaced=token.spaced and place == 0))
    return result


class _Lexer:
    def __init__(self, text: str, *, decimal_comma: bool) -> None:
        self.text, self.decimal_comma = text, decimal_comma
        self.at, self.depth, self.spaced = 0, 0, False
        self.found: list[Token] = []

    def run(self) -> list[Token]:
        text = self.text
        while self.at < len(text):
            space = _SPACE.match(text, self.at)
            if space:
                self.at, self.spaced = space.end(), True
                continue
            character = text[self.at]
            if character.isdecimal() or (
                character == "." and text[self.at + 1 : self.at + 2].isdecimal()
            ):
                self._number()
            elif character == "\\":
                self._command()
            elif character.isalpha():
                self._letters()
            else:
                self._symbol(character)
        return self.found

    def _add(self, kind: str, text: str, *, value: Fraction | None = None, decimals: int | None = None) -> None:  # fmt: skip
        if kind == "symbol":
            self.depth += (text in _OPENS) - (text in _CLOSES)
        self.found.append(Token(kind, text, value, decimals, self.spaced))
        self.spaced = False

    def _number(self) -> None:
        text, at = self.text, self.at
        mixed = _MIXED.match(text, at)
        if mixed and 0 < int(mixed[2]) < int(mixed[3]):
            self.at = mixed.end()
            value = int(mixed[1]) + Fraction(int(mixed[2]), int(mixed[3]))
            self._add("number", mixed[0], value=value)
            return
        grouped = _GROUPED.match(text, at) if self.depth <= 0 and not self.decimal_comma else None
        found = None if grouped else _EUROPEAN.match(text, at)
        if grouped:
            found = grouped
            plain = re.sub(r",(?:\\!\s*)?", "", found[0])
        elif found and (self.depth <= 0 or "{" in found[0]) and not re.match(_WHOLE, text[at:]):
            written = found[0].replace("{,}", ",")
            plain = written.replace(".", "").replace(",", ".")
        elif self.decimal_comma and (found := _DECIMAL_COMMA.match(text, at)):
            plain = found[0].replace(",", ".")
        else:
            found = _NUMBER.match(text, at)
            assert found
            plain = re.sub(r"[^\d.]", "", found[0])
        self.at = found.end()
        if len(plain) > MAX_DIGITS:
            raise Unreadable("a number of too many digits")
        whole, _, fraction = plain.partition(".")
        value = Fraction(int((whole + fraction) or 0), 10 ** len(fraction))
        exponent = _EXPONENT.match(text, self.at)
        if exponent and _is_scientific(plain, text[self.at], exponent[1]):
            self.at = exponent.end()
            power = int(exponent[1])
            if abs(power) > MAX_DIGITS:
                raise Unreadable("an exponent that is too large")
            value *= Fraction(10) ** power
            self._add("number", found[0], value=value, decimals=max(len(fraction) - power, 0))
            return
        self._add("number", plain, value=value, decimals=len(fraction) or None)

    def _command(self) -> None:
        match = _COMMAND.match(self.text, self.at)
        if not match:
            raise Unreadable("a lone backslash")
        name = match[1] or match[2]
        self.at = match.end()
        if match[2]:
            self._escaped(name)
        elif name in DROPPED:
            if name in ("left", "right", "middle") and self.text[self.at : self.at + 1] == ".":
                self.at += 1
        elif name in SYMBOLS:
            self._add("symbol", SYMBOLS[name])
        elif name in TEXTUAL:
            self._textual(name)
        elif name in ("sqrt", "binom"):
            self._add("command", name)
        elif name in FUNCTIONS or name in OTHER_NAMES:
            self._add("function", OTHER_NAMES.get(name, name))
        elif name in GREEK or name in VARIANTS or name == "infty":
            self._add("name", VARIANTS.get(name, name))
        elif name in CURRENCY_COMMANDS:
            self._add("currency", CURRENCY_COMMANDS[name])
        elif name in ("begin", "end"):
            self._add("command", f"{name} {self._argument()}")
        elif name == "boxed":  # a box in a box
            return
        elif name in ("tag", "label", "hspace", "vspace", "phantom", "hphantom", "color", "textcolor"):  # fmt: skip
            self._argument()
        else:
            self._add("command", name)

    def _escaped(self, character: str) -> None:
        if character == "$":
            self._add("currency", "dollar")
        elif character == "\\":
            self._add("symbol", "⏎")
            if self.text[self.at : self.at + 1] == "[":  # the space between rows
                close = self.text.find("]", self.at)
                if 0 < close - self.at < 12:
                    self.at = close + 1
        elif character in "()[]":  # delimiters of inline and display mathematics
            return
        elif character in SYMBOLS:
            self._add("symbol", SYMBOLS[character])
        elif character in "#&_/":
            return
        else:
            raise Unreadable(f"\\{character}")

    def _argument(self) -> str:
        """The text of the braces that follow, or the one character."""
        space = _SPACE.match(self.text, self.at)
        if space:
            self.at = space.end()
        if self.text[self.at : self.at + 1] != "{":
            self.at += 1
            return self.text[self.at - 1 : self.at]
        depth, start = 0, self.at + 1
        for place in range(self.at, len(self.text)):
            depth += {"{": 1, "}": -1}.get(self.text[place], 0)
            if depth == 0:
                self.at = place + 1
                return self.text[start:place]
        raise Unreadable("a brace that is not closed")

    def _textual(self, command: str) -> None:
        r"""Read \text{...}: a separator, a function, a letter, mathematics, or words."""
        inside = self._argument()
        words = " ".join(re.sub(r"\\[,;:! ]|~|\$", " ", inside).split())
        plain = words.strip(" .,;:()")
        lower = plain.lower()
        is_math = command in ("mathrm", "operatorname", "mathop", "fbox", "underline", "mathtt")
        if lower in SEPARATORS or words in (",", ";"):
            self._add("separator", ",")
        elif plain in FUNCTIONS or plain in OTHER_NAMES:
            self._add("function", OTHER_NAMES.get(plain, plain))
        elif plain in ("pi", "infty"):
            self._add("name", plain)
        elif is_math and len(plain) == 1 and plain.isalpha():
            self._add("letter", plain)  # a letter, or a unit
        elif command == "operatorname" and plain.isalpha():
            self._add("function", plain)
        elif (
            not any(map(str.isalpha, plain))
            or (
                "\\" in inside
                and not re.search(r"[^\W\d_]{3,}", re.sub(r"\\[A-Za-z]+", "", inside))
            )
            or re.fullmatch(r"[-+]?[\d.,]+\s*%?", words)
            or re.fullmatch(r"\W*\d[\d.,]*\s+\S.*", words)
        ):
            self.found += _Lexer(inside, decimal_comma=self.decimal_comma).run()
        elif plain:
            self._add("text", plain)

    def _letters(self) -> None:
        match = _LETTERS.match(self.text, self.at)
        if not match:
            match = _WORD.match(self.text, self.at)
            assert match
            self.at = match.end()
            word = match[0]
            if word in SEPARATORS:
                self._add("separator", ",")
            else:
                self._add("text", word)
            return
        self.at = match.end()
        run = match[0]
        if run.lower() in SEPARATORS:
            self._add("separator", ",")
        elif run in VARIANTS:
            self._add("name", VARIANTS[run])
        elif run in GREEK:
            self._add("name", run)
        elif run in FUNCTIONS or run in OTHER_NAMES:
            name = OTHER_NAMES.get(run, run)
            self._add("command" if name == "sqrt" else "function", name)
        elif run == "mod":
            self._add("symbol", "mod")
        elif len(run) > 2 and (pieces := _split(run)):
            for piece in pieces:
                if piece in OTHER_NAMES or piece in FUNCTIONS:
                    name = OTHER_NAMES.get(piece, piece)
                    self._add("command" if name == "sqrt" else "function", name)
                else:
                    self._add("name", VARIANTS.get(piece, piece))
        elif len(run) > 3:
            self._add("text", run)
        else:
            self._add("run", run)

    def _symbol(self, character: str) -> None:
        for written, meant in _RELATIONS:
            if self.text.startswith(written, self.at):
                self.at += len(written)
                self._add("symbol", meant)
                return
        self.at += 1
        if character == "$":
            if self.text[self.at : self.at + 1].isdecimal() and "$" not in self.text[self.at :]:
                self._add("currency", "dollar")
        elif character in CURRENCY:
            self._add("currency", CURRENCY[character])
        elif character in ",;":
            self._add("separator", character)
        elif character == "`" or character == "\0":
            raise Unreadable(f"{character!r}")
        else:
            self._add("symbol", character)


def _is_scientific(mantissa: str, letter: str, exponent: str) -> bool:
    """Whether 2e3 is two thousand; 2e-1 is Euler's number times two, less one."""
    is_euler = letter == "e" and exponent in ("-1", "-2", "-3")
    return not is_euler or "." in mantissa or mantissa == "1"


def _split(run: str) -> list[str] | None:
    """The names of functions and the letters in a run such as "xcosx"; None if it is a word."""
    pieces, at, letters, named = [], 0, 0, 0
    while at < len(run):
        name = next((each for each in NAMED if len(each) > 1 and run.startswith(each, at)), None)
        if name:
            pieces.append(name)
            at += len(name)
            named += 1
        elif run[at] in VARIABLES and letters < 3:
            pieces.append(run[at])
            at += 1
            letters += 1
        else:
            return None
    return pieces if named else None
