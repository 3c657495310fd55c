"""Which of several candidates for an answer, such as numbers, a text chooses.

A response that names several answers has chosen none, so that listing all of them does not pay. Allowed
is what an honest answer needs: a value that is repeated, and a conclusion.
"""

import re
from collections.abc import Hashable, Sequence
from typing import TypeVar

Value = TypeVar("Value", bound=Hashable)

_CONCLUDES = re.compile(  # the last: so, thus, in all, all together, the answer, equals (Chinese)
    r"=|\b(?:so|thus|therefore|hence|answer|makes?|gives?|equals?|altogether|total (?:of|is))\b"
    r"|所以|因此|一共|总共|共有|合计|答案|等于",
    re.IGNORECASE,
)
_IN_ALL = re.compile(r"\b(?:in total|in all|altogether)\b", re.IGNORECASE)
_BRACKETS = re.compile(r"\([^()]*\)|（[^（）]*）")


def without_brackets(text: str) -> str:
    """A text with spaces in place of round brackets and their content, which explains an answer."""
    return _BRACKETS.sub(lambda found: " " * len(found[0]), text)


def chosen(text: str, found: Sequence[tuple[int, int, Value]]) -> Value | None:
    """The value that a text chooses among its candidates (start, end, value), in the order of the text.

    If the values differ, it is the last one, provided that the text concludes with it: "3 + 2 = 5",
    "so 5", "5 in all". None without candidates, or if the text leaves it open: "3, 4".
    """
    if not found:
        return None
    start, end, value = found[-1]
    if all(other == value for _, _, other in found):
        return value
    before = text[found[-2][1] : start]
    return value if _CONCLUDES.search(before) or _IN_ALL.search(text[end:]) else None
