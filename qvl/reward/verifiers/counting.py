"""Counting: the final answer gives the number of things, and no other number.

The reward is 1 if it is the reference's, else 0. A number is written in digits ("1,234", "3.0"), as an
English word ("three", "twenty-one", "a dozen", "none") or in Chinese. A percentage, a fraction or a range
is not a count. Of several different numbers, the last counts if the text concludes with it ("2 + 1 = 3",
"3 in all"); a list such as "0 1 2 3" chooses none. Numbers in brackets are ignored, unless there are no
others; so are numbers after a colon that add up to the number before it ("3 apples: 2 red, 1 green").
"""

import re
from functools import lru_cache

from qvl.reward import Unverifiable, reference
from qvl.reward.reading.candidates import chosen, without_brackets
from qvl.reward.reading.extract import final
from qvl.reward.reading.numerals import CHINESE, ENGLISH, chinese, english

MAX_CHARACTERS = 1000  # of a final answer; a longer one scores 0
_MAX_DIGITS = 18  # so that the extracted number can be written as JSON

_DIGITS = re.compile(
    r"(?<![A-Za-z\d_])(?<!\d\.)((?<!\w)[-+\u2212])?(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?![A-Za-z\d_])"
    r"(\s*(?:%|/\s*\d))?"
)
_MEASURES = (  # measure words, which follow a number of things in Chinese
    "个只张条块本辆件根支枝颗粒头匹座栋把朵位名人棵片顶台架艘双对组瓶杯碗盘箱扇面道盏幅滴串种处口次"
)
_COUNTED = re.compile(rf"(?<!第)({CHINESE})(?=\s*[{_MEASURES}]|\W*$)")
_COLON = {":", "："}
_NONE = re.compile(r"^\W*none\b|\b(?:is|are|see|contains?) no\b|没有", re.IGNORECASE)

Count = int | str  # a number that is not whole stays text, and equals no count


def score(record: dict, response: dict) -> float:
    """1 if the final answer's number is the reference's, else 0."""
    answer = reference(record)
    gold = None
    if isinstance(answer, str | int | float) and not isinstance(answer, bool):
        gold = count(str(answer))
    if not isinstance(gold, int):
        raise Unverifiable(f"answer: expected a whole number, got {answer!r}"[:200])
    return float(extract(response) == gold)


def extract(response: dict) -> Count | None:
    """The number of the final answer; None without a choice."""
    text = final(response)
    return count(text) if len(text) <= MAX_CHARACTERS else None


@lru_cache(8192)
def count(text: str) -> Count | None:
    """The number that a text chooses; None if it has none, or several without a conclusion."""
    if text.isdecimal() and len(text) <= _MAX_DIGITS:
        return int(text)
    for each in (without_brackets(text), text):
        found = sorted([*_in_digits(each), *_in_words(each)], key=lambda one: one[0])
        if len(found) > 2 and _is_sum(each, found):
            return found[0][2]
        if len(found) > 1:  # "the one in row 2"
            found = [one for one in found if each[one[0] : one[1]].casefold() != "one"] or found
        if found:
            return chosen(each, found)
    return 0 if _NONE.search(text) else None


def _is_sum(text: str, found: list[tuple[int, int, Count]]) -> bool:
    """Whether the first number is followed by a colon and is the sum of the others."""
    (_, end, total), (start, _, _), *_ = found
    parts = [value for _, _, value in found[1:] if isinstance(value, int)]
    return (
        len(parts) == len(found) - 1 and sum(parts) == total and bool(_COLON & {*text[end:start]})
    )


def _in_digits(text: str) -> list[tuple[int, int, Count]]:
    return [(one.start(), one.end(), _value(one)) for one in _DIGITS.finditer(text)]


def _value(found: re.Match[str]) -> Count:
    sign, digits, decimals, suffix = found.groups()
    whole = digits.replace(",", "")
    if suffix or (decimals or "").strip(".0") or len(whole) > _MAX_DIGITS:
        return found[0]
    return int(whole) * (-1 if sign and sign != "+" else 1)


def _in_words(text: str) -> list[tuple[int, int, Count]]:
    found: list[tuple[int, int, Count]] = []
    found += [(one.start(), one.end(), english(one[0])) for one in ENGLISH.finditer(text)]
    if not text.isascii():
        found += [(one.start(), one.end(1), chinese(one[1])) for one in _COUNTED.finditer(text)]
    return found
