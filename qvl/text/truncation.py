"""Whether a text is truncated, by rules that need no model.

Many good answers end without a full stop: a number, a name, a list, a formula, code. So a rule looks for
what no finished text has, such as an open code block or a last word "the".
"""

import functools
import re

from qvl.text import words
from qvl.text.written_about import without_tags

FINISH_REASONS = (
    "length",
    "max_tokens",
    "abort",
)  # OpenAI, vLLM and SGLang; other APIs; SGLang, vLLM
OPEN_END = re.compile(
    # a mark or an opening bracket or quote that something must follow; an operator; a dash
    r"(?:[,、，；:：(（\[{「『“]|(?:\d|\s)[=+*/×÷<]|\s[-\u2013\u2014])$"
)
WORD = re.compile(r"[^\W\d_]+$")
MIN_WORDS = 4  # a shorter line that ends in "the" may be a title; our choice
LIST_LINE = re.compile(r"\s*(?:[-*+•#|>]|\d+[.)、]|[A-Za-z][.):])")
_LETTER = r"[a-z\u00e0-\u024f\u0430-\u044f\u0620-\u064a\uac00-\ud7a3)\]\"']"
SENTENCE_END = re.compile(rf"[.!?](?<={_LETTER}{{3}}[.!?])[\"')”]* +(?=[^\W\d_])")
ABBREVIATIONS = (
    "approx. ",
    "prof. ",
    "capt. ",
    "etc. ",
    "inc. ",
    "dept. ",
    "univ. ",
    "figs. ",
    "eqs. ",
)
CONCLUDES = re.compile(
    r"\b(?:answer|result|total|conclusion|option|choice|value)\b|[=:：]|boxed|答案|结果|所以|因此|答え",
    re.IGNORECASE,
)
UNSPACED_END = re.compile(r"[。！？]")
FULL_STOPS = 3
MAY_END = re.compile(r"(?:[るたいすだんかねよのう]|[^\u3041-\u30fa\u3400-\u9fff])$")
LAST_WORDS = 5  # words; a shorter last sentence may be a label or a name
LATEX_BEGIN = re.compile(r"\\(begin|end)\{")


def find(text: str, finish_reason: str = "") -> str:
    """The sign that the text is truncated, or ""."""
    if finish_reason in FINISH_REASONS:
        return f"finish_reason {finish_reason}"
    return _unclosed(text) or _open_end(text.rstrip())


def _unclosed(text: str) -> str:
    """A code block, <think>, formula or environment that is not closed; else ""."""
    if "```" in text and _fences(text) % 2:
        return "a code block is not closed"
    used = without_tags(text)
    for tag in ("<think>", "<tool_call>"):
        if used.rfind(tag) > used.rfind(f"</{tag[1:]}"):
            return f"{tag} is not closed"
    if "\\" in text:
        kinds = LATEX_BEGIN.findall(text)
        if kinds.count("begin") > kinds.count("end"):
            return "\\begin without \\end"
        if text.count("\\[") > text.count("\\]") and text.rfind("\\[") > text.rfind("\\]"):
            return "\\[ without \\]"
        if _open_braces(text, text.rfind("\\boxed{")):
            return "\\boxed{ is not closed"
    return "$$ without $$" if text.count("$$") % 2 else ""


def _fences(text: str) -> int:
    return sum(line.lstrip().startswith("```") for line in text.split("\n"))


def _open_braces(text: str, start: int) -> bool:
    """Whether the brace that opens after `start` is still open at the end."""
    if start < 0:
        return False
    depth = 0
    for character in text[start:]:
        depth += (character == "{") - (character == "}")
        if depth == 0 and character == "}":
            return False
    return True


def _open_end(text: str) -> str:
    if not text:
        return ""
    end = OPEN_END.search(text[-2:])
    if end and not _is_complete_token(text):
        return f"ends in {end.group().strip()!r}"
    if not text[-1].isalpha():
        return ""
    line = text[text.rfind("\n") + 1 :]
    spaced, unspaced = _last_words()
    last = WORD.search(line)
    is_word = last and line[: last.start()].endswith(" ")  # not the end of an address
    if last and is_word and last.group() in spaced and line.count(" ") + 1 >= MIN_WORDS:
        return f"ends in {last.group()!r}"
    if len(line) >= 10 and line.endswith(unspaced):
        return f"ends in {line[-2:]!r}"
    opened = max(line.rfind("("), line.rfind("（"))
    if opened > max(line.rfind(")"), line.rfind("）")):
        return f"ends within {line[opened : opened + 40]!r}"
    return _unfinished_sentence(line)


def _is_complete_token(text: str) -> bool:
    """A lone token such as ":(" or "[" is an answer, not a truncated text."""
    return " " not in text and len(text) <= 3


def _unfinished_sentence(line: str) -> str:
    """A last sentence without an end in a line whose earlier sentences have one; else "".

    Chinese and Japanese texts often end without a full stop. There the line needs FULL_STOPS of them, and the
    last character must not be one that can end a sentence.
    """
    if LIST_LINE.match(line):
        return ""
    *whole, last = UNSPACED_END.split(line)
    if len(whole) >= FULL_STOPS and len(last) >= 4 and not CONCLUDES.search(last):
        return "" if MAY_END.search(last) else f"no end to the sentence {last[:40]!r}"
    start = 0
    for found in SENTENCE_END.finditer(line):
        if not line[max(0, found.start() - 8) : found.end()].lower().endswith(ABBREVIATIONS):
            start = found.end()
    rest = line[start:]
    if not start or CONCLUDES.search(rest):
        return ""
    long = rest.count(" ") + 1 >= LAST_WORDS
    return f"no end to the sentence {rest[:40]!r}" if long else ""


@functools.cache
def _last_words() -> tuple[frozenset[str], tuple[str, ...]]:
    entries = words.lines("cut")
    unspaced = tuple(line[2:] for line in entries if line.startswith("~ "))
    return frozenset(line for line in entries if not line.startswith("~")), unspaced
