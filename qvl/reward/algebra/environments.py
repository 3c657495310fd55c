"""The environments of LaTeX: matrices, cases, and aligned rows."""

from collections.abc import Callable

from qvl.reward.algebra.lexer import Token, Unreadable
from qvl.reward.algebra.nodes import Node

_MATRICES = {
    "matrix",
    "pmatrix",
    "bmatrix",
    "Bmatrix",
    "smallmatrix",
    "array",
    "vmatrix",
    "Vmatrix",
}
ROWS = {"align", "align*", "aligned", "gather", "gather*", "gathered", "equation", "equation*", "split", "alignat",
        "eqnarray", "eqnarray*", "multline", "multline*", "math", "displaymath"}  # fmt: skip


def environment(name: str, inside: list[Token], listed: Callable[[list[Token]], Node]) -> Node:
    """The tree of an environment from the tokens inside; `listed` reads a cell. Of aligned rows, it is the last."""
    if name == "array" and inside and inside[0].text == "{":  # its columns
        close = next((i for i, each in enumerate(inside) if each.text == "}"), None)
        if close is None:
            raise Unreadable("a brace is missing")
        inside = inside[close + 1 :]
    rows = [row for row in split(inside, "⏎") if row]
    if name in ROWS and rows:
        return listed([token for token in rows[-1] if token.text != "&"])
    cells = [split(row, "&") for row in rows]
    if name in ("cases", "dcases"):
        kept = [[listed(_plain_condition(cell)) for cell in row if cell] for row in cells]
        return (
            "list",
            tuple(row[0] if len(row) == 1 else ("tuple", "(", ")", tuple(row)) for row in kept),
        )
    if name not in _MATRICES or not rows:
        raise Unreadable(name)
    read = tuple(tuple(listed(cell) for cell in row) for row in cells)
    if len({len(row) for row in read}) != 1:
        raise Unreadable("rows of different lengths")
    return ("call", "det", (("matrix", read),)) if name == "vmatrix" else ("matrix", read)


def split(found: list[Token], only: str = "") -> list[list[Token]]:
    """The tokens between separators (or the symbol `only`) that are in no brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in found:
        if token.kind == "symbol":
            depth += (token.text in "([⦃{⟨") - (token.text in ")]⦄}⟩")
        elif token.kind == "command":
            depth += token.text.startswith("begin ") - token.text.startswith("end ")
        is_separator = (
            token.text == only if only else token.kind == "separator" or token.text == "⏎"
        )
        if depth == 0 and is_separator:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _plain_condition(cell: list[Token]) -> list[Token]:
    """A condition of a case without "if"."""
    kept = [token for token in cell if token.text.lower() not in ("if", "for", "when", "where")]
    while kept and kept[-1].kind == "separator":
        kept.pop()
    return kept or cell
