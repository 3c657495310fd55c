r"""Number: the last number of the final answer equals the reference exactly.

An answer that lists several numbers ("3 or 4", "3, 4"), denies or bounds one ("not 3", "x > 3") gives none.

0.50, 1/2, \frac{1}{2} and 50% are equal. Words are read if there are no digits ("forty-two", in English or
Chinese). The exponent of a unit is not a number (42 cm^2). Numbers in brackets are ignored ("42 (see figure
3)"), unless there are no others.
"""

import re
from fractions import Fraction
from functools import lru_cache

from qvl.reward import Unverifiable, reference
from qvl.reward.reading.candidates import is_stated, without_brackets
from qvl.reward.reading.extract import final
from qvl.reward.reading.numerals import CHINESE, ENGLISH, chinese, english

_NUMBER = re.compile(
    r"(?<![A-Za-z\d_.])[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:\s*/\s*\d+)?(?![A-Za-z\d_])\s*%?"
)
_FRACTION = re.compile(r"\\[dt]?frac\s*(?:\{\s*([-+]?\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))")
_UNIT = re.compile(r"(?<=[A-Za-z}])\s*\^\s*(?:\{[-+]?\d\}|[-+]?\d)|\\(?=%)|(?<=\d)\{,\}(?=\d{3})")
_CHINESE = re.compile(CHINESE)
MAX_CHARACTERS = 10_000  # at the end of a final answer that are searched; our choice
_ALTERNATIVE = re.compile(
    r"[\s(]*(?:[,;、]\s*(?:(?:or|and)\b)?|\b(?:or|and)\b|或|和)[\s(]*", re.IGNORECASE
)
MAX_REMEMBERED = 200  # characters of an answer whose number is kept for the next that is the same
MAX_DIGITS = 1000  # a longer one is not read, as Python refuses to parse it


def score(record: dict, response: dict) -> float:
    """1 if the numbers are equal, else 0."""
    answer = reference(record)
    gold = _remembered(str(answer)) if isinstance(answer, str | int | float) else None
    if gold is None:
        raise Unverifiable(f"answer: expected a number, got {answer!r}"[:200])
    text = final(response)[-MAX_CHARACTERS:]
    found = _remembered(text) if len(text) <= MAX_REMEMBERED else last_number(text)
    return float(found == gold)


def last_number(text: str) -> Fraction | None:
    """The last number of a text in digits, else the last in words; None if there is none."""
    if not {"\\", "^", "{"}.isdisjoint(text):
        text = _UNIT.sub("", _FRACTION.sub(r"\1\2/\3\4", text))
        if "frac" in text:  # a fraction of expressions: the numbers inside are not the answer
            return None
    for each in (without_brackets(text), text):
        found = [match for match in _NUMBER.findall(each) if len(match) <= MAX_DIGITS]
        if found:
            return _value(found[-1]) if _is_chosen(each, found) else None
    words = ENGLISH.findall(text)
    if words:
        return Fraction(english(words[-1]))
    words = [] if text.isascii() else _CHINESE.findall(text)
    return Fraction(chinese(words[-1])) if words else None


def _is_chosen(text: str, found: list[str]) -> bool:
    """Whether a text states the last of its numbers, and not as one of several: "3 or 4", "3, 4"."""
    last = found[-1]
    if len(last) == len(text):
        return True
    start = text.rindex(last)
    if not is_stated(text, start, start + len(last)):
        return False
    if len(found) == 1:
        return True
    before = text.rindex(found[-2], 0, start) + len(found[-2])
    return not _ALTERNATIVE.fullmatch(text, before, start) or _value(found[-2]) == _value(last)


def _value(text: str) -> Fraction | None:
    plain = text.replace(",", "").replace("\u2212", "-").strip()
    percent = plain.endswith("%")
    numerator, _, denominator = plain.rstrip("% ").partition("/")
    try:
        value = Fraction(numerator.strip()) / Fraction(denominator.strip() or 1)
    except ZeroDivisionError:
        return None
    return value / 100 if percent else value


_remembered = lru_cache(1 << 13)(last_number)
