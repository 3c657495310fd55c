r"""Answers in words, such as \text{odd}, "no", DNE or "no solution"."""

import re

from qvl.reward.algebra.lexer import Unreadable
from qvl.reward.algebra.nodes import Node
from qvl.reward.algebra.parser import read
from qvl.reward.algebra.symbols import FUNCTIONS, GREEK
from qvl.reward.reading.emphasis import emphasized

_SHORT = {
    "no",
    "yes",
    "odd",
    "dne",
    "all",
    "one",
    "two",
    "six",
    "ten",
    "red",
    "nan",
    "off",
    "on",
    "up",
    "mon",
    "tue",
}
_SHORT |= {
    "am",
    "pm",
    "any",
    "low",
    "add",
    "men",
    "boy",
    "day",
    "sun",
    "sat",
    "fri",
    "thu",
    "wed",
    "may",
    "jan",
    "feb",
}
_SAME = {  # other words for the same answer
    "dne": "does not exist", "the limit does not exist": "does not exist", "limit does not exist": "does not exist",
    "not exist": "does not exist", "no solutions": "no solution", "no real solution": "no solution",
    "no real solutions": "no solution", "there is no solution": "no solution", "there are no solutions": "no solution",
    "empty set": "no solution", "the empty set": "no solution", "true statement": "true", "undef": "undefined",
    "没有": "无", "无解": "no solution", "不存在": "does not exist", "是": "yes", "否": "no",
}  # fmt: skip
_AS_MATHEMATICS = {
    "all real numbers": r"\mathbb{R}", "all reals": r"\mathbb{R}", "all real": r"\mathbb{R}", "real numbers": r"\mathbb{R}",
    "infinity": r"\infty", "no solution": r"\emptyset", "negative infinity": r"-\infty", "positive infinity": r"\infty",
}  # fmt: skip
_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|mbox|mathrm|operatorname|textnormal|mathbf|emph)\b\s*"
)
_SPACES = re.compile(r"\\[,:;! ]|\\q?quad|~|\s+")
_ARTICLE = re.compile(r"^(?:an?|the) (?=[^\W\d_]{2})")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_RUN = re.compile(r"[^\W\d_]+")
_IS = re.compile(r".*(?:\b(?:is|are|was|were|be)\b|[:：=]|是|为)\s*", re.DOTALL | re.IGNORECASE)


def words(text: str) -> str:
    """An answer in words, normalized: without markup, case and punctuation."""
    plain = _SPACES.sub(" ", _TEXT.sub(" ", text)).translate(str.maketrans("", "", "{}$*_`\\\"'“”"))
    plain = " ".join(plain.casefold().split()).strip(" .,;:!?。！")
    plain = _ARTICLE.sub("", plain)
    return _SAME.get(plain, plain)


def in_words(text: str) -> set[str]:
    """The words that an answer may state: all of it, what is emphasized, or what follows "is"."""
    marked = emphasized(text)  # one of the two, so that nobody answers twice
    found = {words(text), words(_IS.sub("", text) if marked is None else marked)}
    if re.fullmatch(r"\W*(?:\\(?:varnothing|emptyset)|∅|\\?\{\s*\\?\})\W*", text):
        found.add("no solution")
    return found


def is_words(text: str) -> bool:
    """Whether a reference is words, and no expression, unit or set that is written with words."""
    plain = words(text)
    if not plain or plain in _AS_MATHEMATICS:
        return False
    if plain in _SHORT or plain in _SAME.values():
        return True
    runs = _RUN.findall(plain)
    long = [run for run in runs if len(run) > 1 and run not in FUNCTIONS and run not in GREEK]
    if len(long) > 1 and plain.replace(" ", "").isalpha():  # a sentence, and no product of letters
        return not _COMMAND.search(_TEXT.sub(" ", text))
    try:
        tree = read(text.strip().rstrip("."))
    except Unreadable:
        return bool(runs) and not _COMMAND.search(_TEXT.sub(" ", text))
    return _only_words(tree)


def _only_words(tree: Node) -> bool:
    """Whether a tree is a word, or a list or product of names with a word among them."""
    if tree[0] in ("mul", "list"):
        parts = tree[1:] if tree[0] == "mul" else tree[1]
        return all(each[0] == "name" or _only_words(each) for each in parts) and any(
            map(_only_words, parts)
        )
    return tree[0] == "text" or (tree[0] == "name" and _is_word(tree[1]))


def _is_word(name: str) -> bool:
    return len(name) > 2 and name.isalpha() and name not in GREEK and name != "infty"


def as_mathematics(text: str) -> Node | None:
    """The tree of words that stand for a set or a number, such as "all real numbers"; None for other words."""
    meant = _AS_MATHEMATICS.get(words(text))
    return read(meant) if meant else None
