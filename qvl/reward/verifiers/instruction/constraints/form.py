"""Constraints on the parts and the format of a text."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from qvl.reward.verifiers.instruction.constraints import arguments

Check = Callable[[str], bool]
Arguments = Mapping[str, Any]

# These exclude brackets inside of brackets, so that matching takes linear time.
_PLACEHOLDER = re.compile(r"\[[^\[\]\n]*\]")
_BULLET = re.compile(r"^[ \t]*(?:\*(?!\*)|-).*\S", re.MULTILINE)
_HIGHLIGHT = re.compile(r"\*\*([^\n*]*)\*\*|\*([^\n*]*)\*")
_TITLE = re.compile(r"<<([^\n<>]*)>>")
_FENCE_OPENS = re.compile(r"```(?:json)?", re.IGNORECASE)
_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def number_placeholders(given: Arguments) -> Check:
    """At least `num_placeholders` of the form [address]."""
    least = arguments.number(given, "num_placeholders")
    return lambda text: len(_PLACEHOLDER.findall(text)) >= least


def postscript(given: Arguments) -> Check:
    """A line has `postscript_marker`, whose letters may be separate (P. S.), and text after it."""
    marker = arguments.text(given, "postscript_marker").strip().lower()
    letters = re.findall(r"\w", marker)
    dotted = re.fullmatch(r"(?:p\.\s?)+s\.?", marker) is not None
    body = r"\.\s?".join(letters) if dotted else re.escape(marker)
    if dotted:
        body += r"\." if marker.endswith(".") else r"(?!\w)"  # P. Smith is not a marker
    pattern = re.compile(rf"(?<!\w){body}\W*+\w")
    return lambda text: pattern.search(text.lower()) is not None


def number_bullet_lists(given: Arguments) -> Check:
    """Exactly `num_bullets` lines that begin with * or -."""
    wanted = arguments.number(given, "num_bullets")
    return lambda text: len(_BULLET.findall(text)) == wanted


def constrained_response(given: Arguments) -> Check:
    """Exactly one of "My answer is yes.", "My answer is no.", "My answer is maybe." is in the text."""
    return lambda text: sum(option in text for option in _OPTIONS) == 1


def number_highlighted_sections(given: Arguments) -> Check:
    """At least `num_highlights` of the form *section* or **section**."""
    least = arguments.number(given, "num_highlights")

    def check(text: str) -> bool:
        found = _HIGHLIGHT.findall(text)
        return sum(bool((strong or weak).strip()) for strong, weak in found) >= least

    return check


def multiple_sections(given: Arguments) -> Check:
    """At least `num_sections` sections, each of which begins with `section_spliter`, in the same case,
    and a different number."""
    word = arguments.text(given, "section_spliter").strip()
    least = arguments.number(given, "num_sections")
    pattern = re.compile(rf"{re.escape(word)}\s?\d+")
    return lambda text: len(set(pattern.findall(text))) >= least


def json_format(given: Arguments) -> Check:
    """The whole text is JSON, with or without a code fence."""

    def check(text: str) -> bool:
        body = text.strip()
        opens = _FENCE_OPENS.match(body)
        if opens and body.endswith("```"):
            body = body[opens.end() : -3]
        try:
            json.loads(body)
        except (ValueError, RecursionError):
            return False
        return True

    return check


def title(given: Arguments) -> Check:
    """A title of the form <<title>>."""
    return lambda text: any(found.strip() for found in _TITLE.findall(text))
