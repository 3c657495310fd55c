"""Constraints of IFBench (arXiv 2507.02833) on lines, brackets and bullets."""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from qvl.reward.verifiers.instruction.constraints import arguments
from qvl.reward.verifiers.instruction.constraints.length import sentences

Check = Callable[[str], bool]
Arguments = Mapping[str, Any]

LEVELS = 5  # of nested brackets
_PAIRS = {")": "(", "]": "[", "}": "{"}
_TEMPLATE = re.compile(r"\s*My Answer:(.*?)My Conclusion:(.*?)Future Outlook:(.*)", re.DOTALL)
_SMALL_WORDS = {
    "a",
    "an",
    "the",
    "and",
    "but",
    "or",
    "nor",
    "for",
    "so",
    "yet",
    "of",
    "in",
    "on",
    "at",
    "to",
}
_SMALL_WORDS |= {"by", "from", "with", "as", "into", "over", "via", "per", "than", "up", "if"}


def parentheses(_: Arguments) -> Check:
    """Brackets of any kind, nested five levels deep and closed."""

    def check(text: str) -> bool:
        opened: list[tuple[str, int]] = []  # a bracket, and the levels inside of it
        for character in text:
            if character in "([{":
                opened.append((character, 0))
            elif character in _PAIRS:
                if not opened or opened[-1][0] != _PAIRS[character]:
                    opened = []
                    continue
                levels = opened.pop()[1] + 1
                if levels >= LEVELS:
                    return True
                if opened:
                    opened[-1] = (opened[-1][0], max(opened[-1][1], levels))
        return False

    return check


def newline(_: Arguments) -> Check:
    """Each word on a line of its own."""
    return lambda text: all(len(line.split()) < 2 for line in text.split("\n"))


def separators(given: Arguments) -> Check:
    """A list: at least two lines begin with `sep`."""
    mark = arguments.text(given, "sep").strip()
    return lambda text: sum(line.strip().startswith(mark) for line in text.split("\n")) > 1


def line_indent(_: Arguments) -> Check:
    """Each line is indented by more spaces than the one before."""

    def check(text: str) -> bool:
        indents = [len(line) - len(line.lstrip(" ")) for line in text.split("\n") if line.strip()]
        return len(indents) > 1 and all(a < b for a, b in pairwise(indents))

    return check


def sub_bullets(_: Arguments) -> Check:
    """Lines with *, each followed by at least one line with - before the next."""

    def check(text: str) -> bool:
        marks = [line.strip()[0] for line in text.split("\n") if re.match(r"\s*[*-]\s", line)]
        joined = "".join(marks)
        return "*" in marks and all(joined[joined.index("*") + 1 :].split("*"))

    return check


def sentences_then_bullets(_: Arguments) -> Check:
    """At least two sentences, then at least two lines with *, and nothing after them."""

    def check(text: str) -> bool:
        lines = [line for line in text.strip().split("\n") if line.strip()]
        first = next(
            (i for i, line in enumerate(lines) if line.lstrip().startswith("*")), len(lines)
        )
        before, after = "\n".join(lines[:first]).rstrip(), lines[first:]
        listed = all(line.lstrip().startswith("*") for line in after)
        return len(after) > 1 and listed and sentences(before) > 1 and before.endswith(".")

    return check


def output_template(_: Arguments) -> Check:
    """My Answer: ... My Conclusion: ... Future Outlook: ..., each with words."""

    def check(text: str) -> bool:
        found = _TEMPLATE.fullmatch(text)
        return found is not None and all(map(str.strip, found.groups()))

    return check


def no_whitespace(_: Arguments) -> Check:
    """No space, tab or line feed."""
    return lambda text: not any(map(str.isspace, text))


def title_case(_: Arguments) -> Check:
    """Each major word begins with a capital letter."""

    def check(text: str) -> bool:
        found = re.findall(r"[^\W\d_][^\W_]*(?:['’][^\W_]+)*", text)
        return (
            bool(found)
            and found[0][0].isupper()
            and all(word[0].isupper() or word in _SMALL_WORDS for word in found)
        )

    return check
