"""Hostile answers, which break verifiers: deeply nested, unbalanced, huge, or random."""

import random
from collections.abc import Iterator
from typing import NamedTuple

MEGABYTE = 1_000_000
_MANY = 100_000


class Hostile(NamedTuple):
    """A hostile answer."""

    name: str
    content: str
    case: str = "hostile"
    """hostile, bomb or noise; see qvl.reward.self_test.case_runner"""


FIXED = [
    Hostile("null-bytes", "\0" * _MANY),
    Hostile("null-byte-in-a-number", "\\boxed{4\0002}"),
    Hostile("boxes-unclosed", "\\boxed{" * 10_000),
    Hostile("braces-open", "{" * _MANY),
    Hostile("braces-closed", "}" * _MANY),
    Hostile("lists-nested", "[" * _MANY + "]" * _MANY),
    Hostile("lists-unclosed", "[[1," * _MANY),
    Hostile("objects-nested", '{"a":' * _MANY + "1" + "}" * _MANY),
    Hostile("brackets-unclosed", "(" * _MANY),
    Hostile("fractions-nested", "\\boxed{" + "\\frac{1}{" * 900 + "2" + "}" * 901),
    Hostile("roots-nested", "$" + "\\sqrt{" * 150 + "2" + "}" * 150 + "$"),
    Hostile("powers", "\\boxed{9^{9^{9^{9}}}}", "bomb"),
    Hostile("factorial", "\\boxed{3000000!}", "bomb"),
    Hostile("digits", "9" * _MANY),
    Hostile("digits-boxed", "\\boxed{" + "9" * 5000 + "}"),
    Hostile("digits-after-the-point", "0." + "3" * _MANY),
    Hostile("infinite", "1e999"),
    Hostile("not-a-number", '{"value": NaN, "count": Infinity}'),
    Hostile("divided-by-zero", "\\boxed{\\frac{1}{0}}"),
    Hostile("words-megabyte", ("word " * (MEGABYTE // 5))),
    Hostile("letter-megabyte", "a" * MEGABYTE),
    Hostile("lines-megabyte", "1\n" * (MEGABYTE // 2)),
    Hostile("spaces-megabyte", "1" + " " * MEGABYTE + "1"),
    Hostile("numbers-megabyte", "1,111,1 " * (MEGABYTE // 8)),
    Hostile("thoughts-unclosed", "<think>" * 10_000),
    Hostile("thoughts-unopened", "</think>" * 10_000),
    Hostile("answers-nested", "<answer>" * 10_000 + "</answer>" * 10_000),
    Hostile("fences", "```\n" * 10_000),
    Hostile("tables", "<table><tr><td>" * 10_000),
    Hostile("pipes", "|" * _MANY),
    Hostile("quotes", '"' * _MANY + "1"),
    Hostile("backslashes", "\\" * _MANY),
    Hostile("combining-marks", "e" + "\u0301" * _MANY),
    Hostile("right-to-left", "\u202e21\u202d\u200f12" * 1000),
    Hostile("other-digits", "٣१３³③三Ⅻ"),
    Hostile("backtracking", "1, " * 5000 + "!"),
]

_PIECES = [  # their order decides the answers of a seed
    *("\\boxed{", "}", "{", "[", "]", "(", ")", "<answer>", "</answer>", "</think>", "<think>"),
    *("\\frac{", "\\sqrt", "\\text{", "\\begin{tabular}", "\\\\", "$", "^", "_", "&", "|"),
    *("```\n", "[1,2,3,4]", '{"bbox_2d":', '"label":', "<td>", "</table>"),
    *("def f(x):\n", "```python\n", "1e999", "9" * 400, "1/0", "-", ".", ",", ":", "%", "0", "7"),
    *("12:30", "3 to 5", "NaN", "null", "A", "B.", "yes", "no", "none", "so ", "=", '"', "'", "**"),
    *("\n", "\n\n", " ", "\0", "\ufeff"),
    *("٣", "３", "三", "点", "\u0301", "\u202e", "😀", "{" * 50),
]
_SURROGATES = range(0xD800, 0xE000)
_MOST_PIECES = 16


def noise(count: int, seed: str) -> Iterator[Hostile]:
    """`count` random answers, of pieces that verifiers look for and of any characters."""
    draw = random.Random(seed)
    for number in range(count):
        pieces = draw.choices(_PIECES, k=draw.randint(1, _MOST_PIECES))
        pieces += [_character(draw) for _ in range(draw.randint(0, 3))]
        draw.shuffle(pieces)
        yield Hostile(f"noise-{number}", "".join(pieces), "noise")


def _character(draw: random.Random) -> str:
    """A random character other than a surrogate, which no JSON stream can hold."""
    code = draw.randrange(0x110000)
    return "\ufffd" if code in _SURROGATES else chr(code)
