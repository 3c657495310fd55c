r"""Mathematics: the final answer equals the reference by value, whatever its form (qvl.reward.algebra).

The answer is the final answer (qvl.reward.reading.extract). A box is an expression as a whole; a line of prose is
one too, or ends with one ("so the charge is +2"). An answer that lists more than the reference is wrong. A
reference of words (odd, "no", DNE) is compared as words.

A comma between digits separates thousands if groups of three follow it; "1{,}5", "3,07" and "1,5; 2,5" have
decimal commas; in any other number it separates items of a list, except in an answer to a reference of one
number, where no list is possible.

An answer that is not evaluable (9^{9^{9^9}}, 1/0), or that cannot be read, scores 0 at once: a policy may
write it on purpose. A reference that cannot be read is Unverifiable. All work is bounded by the size of the answer,
so no process that can be killed is needed.
"""

import re
from fractions import Fraction
from functools import lru_cache

from qvl.reward import Unverifiable, reference
from qvl.reward.algebra.equality import equal
from qvl.reward.algebra.lexer import Unreadable
from qvl.reward.algebra.nodes import Node
from qvl.reward.algebra.parser import read
from qvl.reward.algebra.prose import last_expression
from qvl.reward.algebra.words import as_mathematics, in_words, is_words, words
from qvl.reward.reading.candidates import is_denial, is_stated
from qvl.reward.reading.emphasis import emphasized
from qvl.reward.reading.extract import final, last_boxed, without_lead
from qvl.text.thinking import answer_text

MAX_CHARS = 2000  # of a box; a longer one scores 0; at the end of a line of prose: our choice
_PLAIN = re.compile(r"[-+]?\d{1,300}(?:\.\d{1,300})?")
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(?:(?:,|\{,\}|\\,)\d{3})+(?:\.\d+)?")
_FORMATTING = re.compile(
    r"\\(?:left|right|displaystyle|,|;|!|:|quad)(?![A-Za-z])|[\s$]+|(?<=\d)\\%$"
)
_COMMA = re.compile(r"\d,(?!\d{3}(?!\d))\d")
_EXPRESSION = re.compile(r"[\d=+*/^\\]|^\W*\w\W*$")
_COMMA_AND_UNIT = re.compile(r"[-+]?\d+,\d+\s*(?:\\?%|[^\W\d].*|\\(?:text|mathrm|mbox|,|;| ).*)")
_LETTER_UNIT = re.compile(  # a unit of one letter, which is a variable anywhere but after the only number
    r"[^\d+*/=<>^\\-]*?(-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)\s?([msghLNJWVAK])(?:²|³|\^\{?[23]\}?)?[.。$]*"
)
_EULER = re.compile(r"(?<![A-Za-z\d.])(\d+)e(-\d)(?!\d)")


def score(record: dict, response: dict) -> float:
    """1 if the answer equals the reference, or one of a list of references; else 0."""
    answer = reference(record)
    wanted = answer if isinstance(answer, list) else [answer]
    if not all(
        isinstance(each, str | int | float) and not isinstance(each, bool) for each in wanted
    ):
        raise Unverifiable(f"answer: expected an expression or words, got {answer!r}"[:200])
    golds = [str(each) for each in wanted]
    found = final(response)
    plain = _plain(found)
    if plain is None or any(_plain(each) is None for each in golds):
        for each in golds:
            _gold(each)  # Unverifiable, whatever the response
    if not found:
        return 0.0
    if plain is not None and plain in map(_plain, golds):
        return 1.0
    if plain is not None and not any(_plain(each) is None for each in golds):
        return 0.0
    boxed = last_boxed(answer_text(response)) is not None
    if boxed and len(found) > MAX_CHARS:
        return 0.0
    found = found[-MAX_CHARS:]
    return float(any(_same(each, found, boxed) for each in golds))


def _same(gold: str, found: str, boxed: bool) -> bool:
    if gold and _bare(gold) == _bare(found):
        return True
    wanted = _gold(gold)
    if isinstance(wanted, str):
        return wanted in in_words(found)
    return any(equal(wanted, each) for each in _readings(wanted, found, boxed))


def _readings(wanted: Node, found: str, boxed: bool) -> list[Node]:
    """The ways to read an answer, each tried: as a whole, its last expression, with a decimal comma."""
    if is_denial(found):
        return []
    texts = [without_lead(found) if boxed else found]
    if not boxed:
        marked = emphasized(found)  # one of the two, so that nobody answers twice
        is_expression = marked is not None and _EXPRESSION.search(marked)
        last = marked if is_expression else last_expression(found)
        if last is not None and not _is_stated(found, last):
            return []
        texts += filter(None, [last])
    unit = _LETTER_UNIT.fullmatch(found)
    if unit and (wanted[1] if wanted[0] == "neg" else wanted)[0] == "num":
        texts.append(rf"{unit[1]}\text{{ {unit[2]}}}")
    trees = []
    for text in dict.fromkeys(texts):
        trees.append(_tree(text, decimal_comma=False))
        if wanted[0] not in ("list", "set") and _COMMA.search(text):
            trees.append(_tree(text, decimal_comma=True))
        if _EULER.search(text):
            trees.append(_tree(_EULER.sub(r"\1\\times10^{\2}", text), decimal_comma=False))
    return [tree for tree in trees if tree is not None]


def _is_stated(line: str, last: str) -> bool:
    """Whether a line of prose states its last expression, and does not bound it: "more than 5"."""
    start = line.rfind(last)
    return start < 0 or is_stated(line, start, start + len(last))


def _tree(text: str, *, decimal_comma: bool) -> Node | None:
    meant = as_mathematics(text)
    if meant is not None:
        return meant
    try:
        return read(text.rstrip(" .。!?"), decimal_comma=decimal_comma)
    except Unreadable:
        return None


@lru_cache(maxsize=1 << 12)
def _gold(text: str) -> Node | str:
    """The tree of a reference, or its words. Unverifiable if it is neither."""
    if is_words(text):
        return words(text)
    meant = as_mathematics(text)
    boxed = last_boxed(text)
    text = text if boxed is None else boxed
    with_unit = _COMMA_AND_UNIT.fullmatch(text.strip()) is not None  # so no list
    try:
        return meant or read(text.strip().rstrip("."), decimal_comma=with_unit)
    except Unreadable as error:
        raise Unverifiable(f"answer: {text!r} is not read as mathematics: {error}"[:200]) from None


@lru_cache(maxsize=1 << 14)
def _plain(text: str) -> Fraction | None:
    """The value of a text that is a plain number; None for any other text."""
    text = text.strip().strip("$").strip().rstrip(".").replace("\u2212", "-")
    if _GROUPED.fullmatch(text):
        text = re.sub(r",|\{,\}|\\,", "", text)
    return Fraction(text) if _PLAIN.fullmatch(text) else None


def _bare(text: str) -> str:
    return _FORMATTING.sub("", text).replace("dfrac", "frac").replace("tfrac", "frac")
