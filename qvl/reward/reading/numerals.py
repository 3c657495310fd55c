"""Whole numbers in words, English and Chinese."""

import re

_ONES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = [
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: value for value, word in enumerate(["zero", *_ONES, *_TEENS])}
_VALUES |= {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_SMALL = rf"(?:(?:{'|'.join(_TENS)})(?:[- ](?:{'|'.join(_ONES)}))?|{'|'.join(['zero', *_TEENS, *_ONES])})"
ENGLISH = re.compile(
    rf"\b(?:(?:{_SMALL}|a) hundred(?: and)?(?: {_SMALL})?|(?:{_SMALL} |a )?dozen|{_SMALL})\b",
    re.IGNORECASE,
)
_CHINESE_DIGITS = {character: i for i, character in enumerate("零一二三四五六七八九")}
_CHINESE_DIGITS |= {"〇": 0, "两": 2}
_CHINESE_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10_000}
CHINESE = f"[{''.join([*_CHINESE_DIGITS, *_CHINESE_UNITS])}]{{1,9}}"


def english(words: str) -> int:
    """The value of a number in English words that ENGLISH matches."""
    total = 0
    for word in re.findall(r"[a-z]+", words.casefold()):
        if word in ("hundred", "dozen"):
            total = (total or 1) * (100 if word == "hundred" else 12)
        else:
            total += _VALUES.get(word, 0)
    return total


def chinese(characters: str) -> int:
    """The value of a Chinese number that CHINESE matches, with units (2 hundred 3) or digits alone."""
    if not any(character in _CHINESE_UNITS for character in characters):
        return int("".join(str(_CHINESE_DIGITS[character]) for character in characters))
    total, section, digit = 0, 0, 0
    for character in characters:
        unit = _CHINESE_UNITS.get(character)
        if unit is None:
            digit = _CHINESE_DIGITS[character]
        elif unit == 10_000:
            total, section, digit = total + (section + digit or 1) * unit, 0, 0
        else:
            section, digit = section + (digit or 1) * unit, 0
    return total + section + digit
