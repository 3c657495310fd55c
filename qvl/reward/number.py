"""The last number of the final answer equals the reference."""

import re
from fractions import Fraction

from qvl.reward import Unverifiable, reference
from qvl.reward.extract import final

_NUMBER = re.compile(
    r"(?<![\w.])[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:\s*/\s*\d+)?(?![\w])\s*%?"
)
_WORDS = {
    word: Fraction(value)
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        ]
    )
}
MAX_DIGITS = 1000  # a longer "number" is no answer, and Python refuses to parse it


def score(record: dict, response: dict) -> float:
    """1 where the numbers are equal, exactly: 0.50, 1/2 and 50% are one number."""
    answer = reference(record)
    gold = last_number(str(answer)) if isinstance(answer, str | int | float) else None
    if gold is None:
        raise Unverifiable(f"a number is expected as answer, not {answer!r}"[:200])
    return float(last_number(final(response)) == gold)


def last_number(text: str) -> Fraction | None:
    """The last number in a text, in digits, or one written as a word up to twelve."""
    found = [match for match in _NUMBER.findall(text) if len(match) <= MAX_DIGITS]
    if found:
        return _value(found[-1])
    words = [word for word in re.findall(r"[a-z]+", text.casefold()) if word in _WORDS]
    return _WORDS[words[-1]] if words else None


def _value(text: str) -> Fraction | None:
    plain = text.replace(",", "").replace("\u2212", "-").strip()
    percent = plain.endswith("%")
    numerator, _, denominator = plain.rstrip("% ").partition("/")
    try:
        value = Fraction(numerator.strip()) / Fraction(denominator.strip() or 1)
    except ZeroDivisionError:
        return None
    return value / 100 if percent else value
