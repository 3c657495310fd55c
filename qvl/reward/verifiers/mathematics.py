"""Mathematics: the final answer equals the reference by value, as Math-Verify compares them.

The answer is the content of the last \\boxed{}, else of the last <answer>, else the last line. If a line
without a box has several expressions, Math-Verify takes the last one. Sets, pairs and intervals are compared
as such: an answer that lists more than the reference is wrong. Plain numbers and equal texts, nearly all
answers, are compared here. The others are compared in a process that can be killed, because an alarm does
not interrupt a computer algebra system.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

from qvl.errors import need
from qvl.processes import Worker
from qvl.reward import Unverifiable, reference
from qvl.reward.reading.extract import final, last_boxed
from qvl.text.thinking import answer_text

SECONDS = 10.0  # per comparison: our choice
MEMORY_BYTES = 4 << 30  # of address space: our choice; a power of a power needs more
MAX_CHARS = 2000  # of an answer; a longer one scores 0: our choice
FUNCTIONS = {"sin", "cos", "tan", "cot", "log", "exp", "sqrt", "inf", "infty", "pi"}
_COMMAND = re.compile(r"\\(?!text|mathrm|mbox)[A-Za-z]+|\\(?:text|mathrm|mbox)")
_PROSE = re.compile(r"(?<!\\)\b[^\W\d_]{2,}\b")
_PLAIN = re.compile(r"[-+]?\d{1,300}(?:\.\d{1,300})?")
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:(?:,|\{,\}|\\,)\d{3})+(?:\.\d+)?")
_FORMATTING = re.compile(
    r"\\(?:left|right|displaystyle|,|;|!|:|quad)(?![A-Za-z])|[\s$]+|(?<=\d)\\%$"
)


def score(record: dict, response: dict) -> float:
    """1 if the answer equals the reference, or one of a list of references; else 0.

    TimeoutError if a comparison exceeds its time limit.
    """
    answer = reference(record)
    wanted = answer if isinstance(answer, list) else [answer]
    if not all(
        isinstance(each, str | int | float) and _is_expression(str(each)) for each in wanted
    ):
        raise Unverifiable(f"answer: expected an expression, got {answer!r}"[:200])
    found = final(response)
    if not found or len(found) > MAX_CHARS:
        return 0.0
    # A line of prose is searched for an expression; a box, or a line without words, is one.
    alone = last_boxed(answer_text(response)) is not None or not _PROSE.search(found)
    return float(any(_same(str(each), found, alone) for each in wanted))


@lru_cache(maxsize=1 << 12)
def _is_expression(text: str) -> bool:
    """Whether a text is more than words, which Math-Verify reads as products of letters."""
    names = re.findall(r"[^\W\d_]{3,}", _COMMAND.sub(" ", text))
    return any(map(str.isdigit, text)) or all(name in FUNCTIONS for name in names)


def _same(gold: str, found: str, alone: bool) -> bool:
    mine, theirs = _plain(gold), _plain(found)
    if mine is not None and theirs is not None:
        return mine == theirs
    if gold and _bare(gold) == _bare(found):
        return True
    return _compare(SECONDS, gold, found, alone)


@lru_cache(maxsize=1 << 14)
def _plain(text: str) -> Fraction | None:
    """The value of a text that is a plain number; None for any other text."""
    text = text.strip().strip("$").strip().rstrip(".").replace("\u2212", "-")
    if _GROUPED.fullmatch(text):
        text = re.sub(r",|\{,\}|\\,", "", text)
    return Fraction(text) if _PLAIN.fullmatch(text) else None


def _bare(text: str) -> str:
    return _FORMATTING.sub("", text).replace("dfrac", "frac").replace("tfrac", "frac")


# The functions below run in the process that can be killed.


def prepare() -> None:
    """Import Math-Verify, which is slow. UserError if it is not installed."""
    import logging

    need("math_verify", extra="reward")
    logging.getLogger("math_verify").setLevel(
        logging.ERROR
    )  # it warns that it has no time limit; ours is above
    equal("1/2", "0.5", alone=True)


def equal(gold: str, found: str, alone: bool) -> bool:
    """Whether the two are equal by Math-Verify. An answer with a syntax error is not equal to anything."""
    import math_verify

    wanted = _parsed(gold)
    if not wanted:
        raise Unverifiable(f"answer: expected an expression, got {gold!r}"[:200])
    parsed = math_verify.parse(_framed(found) if alone else found, parsing_timeout=0)
    # The reference is the first argument: Math-Verify treats the two differently. It hides errors.
    return bool(parsed) and math_verify.verify(wanted, parsed, timeout_seconds=None)


@lru_cache(maxsize=1 << 12)
def _parsed(gold: str) -> Any:
    import math_verify

    return math_verify.parse(_framed(gold), parsing_timeout=0)


def _framed(text: str) -> str:
    """A text between dollar signs, unless it has delimiters of LaTeX mathematics already."""
    return text if "$" in text or "\\(" in text or "\\[" in text else f"${text}$"


_compare = Worker(equal, prepare=prepare, memory=MEMORY_BYTES)
