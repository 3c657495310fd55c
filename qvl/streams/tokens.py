"""The words of an expression: names, numbers, strings and signs, each with its column."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from qvl.errors import UserError

_NAME = r"[^\W\d]\w*(?:-[^\W\d]\w*)*"
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    rf"|(?P<name>{_NAME})"
    r"""|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"|(?P<sign>==|!=|<=|>=|&&|\|\||[-<>=!+*/%.,()\[\]]))",
    re.DOTALL,
)
_ESCAPE = re.compile(r"""\\(u[0-9a-fA-F]{4}|["'\\nt])""")


class Token(NamedTuple):
    kind: str
    text: str
    column: int


def tokens(source: str) -> Iterator[Token]:
    """The words of an expression, and an end."""
    at, end = 0, len(source.rstrip())
    while at < end:
        found = _TOKEN.match(source, at)
        if not found:
            at += len(source[at:]) - len(source[at:].lstrip())
            what = (
                "a string that does not end"
                if source[at] in "\"'"
                else f"unexpected {source[at]!r}"
            )
            raise UserError(f"column {at + 1}: {what}")
        kind = found.lastgroup or ""
        yield Token(kind, found[kind], found.start(kind) + 1)
        at = found.end()
    yield Token("end", "the end", end + 1)


def unquote(quoted: str) -> str:
    r"""The string between the quotes. Escapes are \" \' \\ \n \t \uXXXX; other backslashes stay."""

    def one(found: re.Match) -> str:
        code: str = found[1]
        if code[0] == "u":
            return chr(int(code[1:], 16))
        return {"n": "\n", "t": "\t"}.get(code, code)

    return _ESCAPE.sub(one, quoted[1:-1])
