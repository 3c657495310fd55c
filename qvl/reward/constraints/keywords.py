"""What words, letters and language a text must have."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from qvl.reward.constraints import arguments
from qvl.reward.languages import language_of

Check = Callable[[str], bool]
Arguments = Mapping[str, Any]

_OWN_SCRIPT = {  # languages that are alone with their script, so that a word tells them
    "bn": "\u0980-\u09ff", "el": "\u0370-\u03ff", "gu": "\u0a80-\u0aff", "he": "\u0590-\u05ff",
    "ja": "\u3041-\u30ff\u4e00-\u9fff", "kn": "\u0c80-\u0cff", "ko": "\uac00-\ud7a3",
    "ml": "\u0d00-\u0d7f", "pa": "\u0a00-\u0a7f", "ta": "\u0b80-\u0bff", "te": "\u0c00-\u0c7f",
    "th": "\u0e00-\u0e7f", "zh": "\u4e00-\u9fff",
}  # fmt: skip
_KANA = re.compile("[\u3041-\u30ff]")
_READ = 2000  # characters that tell the script


def existence(given: Arguments) -> Check:
    """Every one of `keywords` is in the text, in any case."""
    wanted = [word.lower() for word in arguments.words(given, "keywords")]
    return lambda text: all(word in lowered for lowered in [text.lower()] for word in wanted)


def frequency(given: Arguments) -> Check:
    """`keyword` comes less than, or at least, `frequency` times."""
    keyword = arguments.text(given, "keyword").strip().lower()
    holds = arguments.relation(given, "relation", "frequency")
    return lambda text: holds(text.lower().count(keyword))


def forbidden_words(given: Arguments) -> Check:
    """None of `forbidden_words` is in the text as a word."""
    words = "|".join(map(re.escape, arguments.words(given, "forbidden_words")))
    pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)
    return lambda text: pattern.search(text) is None


def letter_frequency(given: Arguments) -> Check:
    """`letter` comes less than, or at least, `let_frequency` times, in any case."""
    letter = arguments.text(given, "letter").strip().lower()
    if len(letter) != 1:
        raise ValueError(f"letter: expected one, not {letter!r}")
    holds = arguments.relation(given, "let_relation", "let_frequency")
    return lambda text: holds(text.lower().count(letter))


def response_language(given: Arguments) -> Check:
    """The text is in `language`, an ISO 639-1 code; a region behind it (zh-cn) is passed over."""
    code = arguments.text(given, "language").strip().lower().split("-")[0].split("_")[0]
    if not re.fullmatch("[a-z]{2,3}", code):
        raise ValueError(f"language: expected a code such as en, not {code!r}")
    return lambda text: _is_in(text, code)


def _is_in(text: str, code: str) -> bool:
    ranges = _OWN_SCRIPT.get(code)
    if ranges is None:
        return language_of(text) == code
    letters = [each for each in text[:_READ] if each.isalpha()]
    own = re.compile(f"[{ranges}]")
    kana = _KANA.search(text[:_READ]) is not None
    if (code == "zh" and kana) or (code == "ja" and not kana):
        return False
    return sum(own.match(each) is not None for each in letters) > len(letters) / 2
