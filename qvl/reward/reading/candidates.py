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
_BRACKETS = re.compile(r"\((?!\s*or\b)[^()]*\)|（(?!\s*或)[^（）]*）")
_OPEN_BEFORE = re.compile(  # not 3, x > 3; an arrow or a tag before a number leaves nothing open
    r"(?:\b(?:not|isn['’]?t|aren['’]?t|(?:more|less|fewer|greater|larger|smaller|other)\s+than)|[≠≥≤]|不是|并非|超过|不到|[多少大小]于|\\n(?:e|eq)|\\[gl](?:e|eq|eqslant|t)|(?<![<\w/\\])[A-Za-z]\s*[<>]=?)"
    r"(?:\s+equals?\s+to)?$"
)
_OPEN_ENDS = frozenset("tTnNoOeq≠≥≤<>=是非过到于/")  # the last characters of those
_OPEN_AFTER = re.compile(r"\s*(?:±|\+/-|\\pm(?![A-Za-z]))")
_OVER_ZERO = re.compile(r"/\s*0+(?:\.0*)?$")
_DENIAL = re.compile(
    r"\W*(?:(?:it|this|that|which)\s+)?(?:is\s+)?(?:not|isn['’]?t|不是|并非|\\n(?:e|eq)|≠)(?![A-Za-z])(?!.*(?:\bbut\b|而是))",
    re.IGNORECASE,
)
_DIGITS = frozenset("0123456789")
_BEFORE = 30  # characters before a value that can deny it


def without_brackets(text: str) -> str:
    """A text with spaces in place of round brackets and their content, which explains an answer.

    An alternative in brackets, "3 (or 4)", is kept.
    """
    if "(" not in text and "（" not in text:
        return text
    return _BRACKETS.sub(lambda found: " " * len(found[0]), text)


def is_denial(final_answer: str) -> bool:
    """Whether a final answer says only what the answer is not."""
    return final_answer[:1] not in _DIGITS and bool(_DENIAL.match(final_answer))


def is_stated(text: str, start: int, end: int) -> bool:
    """Whether a text states the number at text[start:end]: it does not deny, bound or divide by it."""
    before = text[max(0, start - _BEFORE) : start].rstrip(" \t\n$({*")
    may_be_open = before and before[-1] in _OPEN_ENDS  # for speed: few texts are
    if may_be_open and (_OPEN_BEFORE.search(before) or _OVER_ZERO.search(before + text[start:end])):
        return False
    return end == len(text) or not _OPEN_AFTER.match(text, end)


def chosen(text: str, found: Sequence[tuple[int, int, Value]]) -> Value | None:
    """The value that a text chooses among its candidates (start, end, value), in the order of the text.

    If the values differ, it is the last one, provided that the text concludes with it: "3 + 2 = 5",
    "so 5", "5 in all". None without candidates, or if the text leaves it open: "3, 4", "not 3", "x > 3".
    """
    if not found:
        return None
    start, end, value = found[-1]
    if not is_stated(text, start, end):
        return None
    if all(other == value for _, _, other in found):
        return value
    before = text[found[-2][1] : start]
    return value if _CONCLUDES.search(before) or _IN_ALL.search(text[end:]) else None
