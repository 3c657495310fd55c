"""Constraints on the words, letters and language of a text."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from qvl.reward.verifiers.instruction.constraints import arguments
from qvl.text import scripts
from qvl.text.languages import languages_in

Check = Callable[[str], bool]
Arguments = Mapping[str, Any]

_OWN_SCRIPT = {  # languages that are identified by their script
    "bn": "\u0980-\u09ff", "el": "\u0370-\u03ff", "gu": "\u0a80-\u0aff", "he": "\u0590-\u05ff",
    "ja": "\u3041-\u30ff\u4e00-\u9fff", "kn": "\u0c80-\u0cff", "ko": "\uac00-\ud7a3",
    "ml": "\u0d00-\u0d7f", "pa": "\u0a00-\u0a7f", "ta": "\u0b80-\u0bff", "te": "\u0c00-\u0c7f",
    "th": "\u0e00-\u0e7f", "zh": "\u4e00-\u9fff",
}  # fmt: skip
_LETTERS = re.compile(r"[^\W\d_]+")


def existence(given: Arguments) -> Check:
    """All `keywords` are in the text, in any case."""
    wanted = [word.lower() for word in arguments.words(given, "keywords")]
    return lambda text: all(word in lowered for lowered in [text.lower()] for word in wanted)


def frequency(given: Arguments) -> Check:
    """`keyword` occurs less than, or at least, `frequency` times."""
    keyword = arguments.text(given, "keyword").strip().lower()
    holds = arguments.relation(given, "relation", "frequency")
    return lambda text: holds(text.lower().count(keyword))


def forbidden_words(given: Arguments) -> Check:
    """None of `forbidden_words` is in the text as a word."""
    words = "|".join(map(re.escape, arguments.words(given, "forbidden_words")))
    pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)
    return lambda text: pattern.search(text) is None


def letter_frequency(given: Arguments) -> Check:
    """`letter` occurs less than, or at least, `let_frequency` times, in any case."""
    letter = arguments.text(given, "letter").strip().lower()
    if len(letter) != 1:
        raise ValueError(f"letter: expected one letter, got {letter!r}")
    holds = arguments.relation(given, "let_relation", "let_frequency")
    return lambda text: holds(text.lower().count(letter))


def response_language(given: Arguments) -> Check:
    """The whole text is in `language`, an ISO 639-1 code, whose region (zh-cn) is ignored.

    If the language is identified by its script, more than half of the letters must be in that script.
    """
    code = arguments.text(given, "language").strip().lower().split("-")[0].split("_")[0]
    if not re.fullmatch("[a-z]{2,3}", code):
        raise ValueError(f"language: expected a code such as en, got {code!r}")
    if code not in _OWN_SCRIPT:
        return lambda text: languages_in(text) == {code}
    own = re.compile(f"[{_OWN_SCRIPT[code]}]")

    def check(text: str) -> bool:
        letters = "".join(_LETTERS.findall(text))
        if code in ("ja", "zh") and scripts.is_japanese(text) != (code == "ja"):
            return False
        return len(own.findall(letters)) > len(letters) / 2

    return check
