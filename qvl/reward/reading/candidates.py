"""Which part of a response is its answer, where that is no single line or one of several candidates.

A response that names several answers has chosen none: listing all of them must not pay. What these
functions let pass is what an honest answer needs: a value said twice, and a conclusion.
"""

import re
from collections.abc import Hashable, Sequence
from typing import TypeVar

from qvl.reward.reading.extract import last_boxed
from qvl.text.thinking import answer_text

Value = TypeVar("Value", bound=Hashable)

_CONCLUDES = re.compile(  # the last: so, thus, in all, all together, the answer, equals (Chinese)
    r"=|\b(?:so|thus|therefore|hence|answer|makes?|gives?|equals?|altogether|total (?:of|is))\b"
    r"|所以|因此|一共|总共|共有|合计|答案|等于",
    re.IGNORECASE,
)
_IN_ALL = re.compile(r"\b(?:in total|in all|altogether)\b", re.IGNORECASE)
_MARKED = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|「([^」\n]+)」|\*\*([^*\n]+)\*\*|`([^`\n]+)`")
_BRACKETS = re.compile(r"\([^()]*\)|（[^（）]*）")


def part(response: dict) -> str:
    """The last \\boxed{}, else the last <answer>, else the last closed block between fences, else
    all that comes after the thinking: for an answer of several lines."""
    text = answer_text(response)
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed.strip()
    end = text.rfind("</answer>")
    begin = text.rfind("<answer>", 0, max(end, 0))
    if begin >= 0:
        text = text[begin + len("<answer>") : end]
    return fenced(text).strip()


def fenced(text: str) -> str:
    """The last closed block between fences, without its language; all of the text where none is."""
    pieces = text.split("```")
    if len(pieces) < 3:
        return text
    block = pieces[(len(pieces) - 1) // 2 * 2 - 1]
    language, newline, rest = block.partition("\n")
    return rest if newline and (not language.strip() or language.strip().isalnum()) else block


def marked(text: str) -> str | None:
    """The one quotation or bold text in a text; None for none or several different ones."""
    found = {next(filter(None, groups), "") for groups in _MARKED.findall(text)}
    return found.pop() if len(found) == 1 else None


def without_brackets(text: str) -> str:
    """A text with spaces in place of what is in round brackets: that explains an answer."""
    return _BRACKETS.sub(lambda found: " " * len(found[0]), text)


def chosen(text: str, found: Sequence[tuple[int, int, Value]]) -> Value | None:
    """The value of the candidates (start, end, value), in the order of the text.

    Of several different ones it is the last, and only where the text concludes: "3 + 2 = 5",
    "so 5", "5 in all". None where there is none, or where "3, 4" leaves it open.
    """
    if not found:
        return None
    start, end, value = found[-1]
    if all(other == value for _, _, other in found):
        return value
    before = text[found[-2][1] : start]
    return value if _CONCLUDES.search(before) or _IN_ALL.search(text[end:]) else None
