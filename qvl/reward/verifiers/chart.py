"""Charts: relaxed accuracy. A number is right within 5 %, other words when they are the reference's.

    right where |p - t| <= 0.05 |t|

(PlotQA, arXiv 1909.00997, section 5; ChartQA, arXiv 2203.10244, section 5.1). What others get wrong:
- a target of 0, which falls through to comparing the texts, so that "0.0" is not 0: here it is;
- "45%" against 45, which becomes 0.45: a unit of scale (%, thousand, million, k, bn ...) on one side
  alone may be in the chart's unit or not, so both are tried; on both sides both are converted;
- "1,234" and "$12", which are no floats;
- the year 2010 for 2015, which is within 5 %: where the question asks for a year the number must be
  equal (as ChartQAPro has it, arXiv 2504.05506).

A final answer with several different numbers gives none, but those of the question are left out
("In 2015 it was 45") and a conclusion counts ("50 - 5 = 45"). A reference that is a list is compared
item by item in any order: right items over the larger number of items.
"""

import math
import re
from typing import Any, NamedTuple

import orjson

from qvl import record as records
from qvl.reward import Unverifiable, reference
from qvl.reward.reading.candidates import chosen, without_brackets
from qvl.reward.reading.emphasis import emphasized
from qvl.reward.reading.extract import final
from qvl.reward.reading.matching import share
from qvl.reward.verifiers.exact import normal

TOLERANCE = 0.05  # relative; ChartQA
ROUNDING = 1e-9  # relative; so that 105 is within 5 % of 100 in binary too
MAX_CHARACTERS = 2000  # of a final answer; a longer one is none
MOST = 100  # items of a response, beyond twice those of the reference

_SCALES = {"%": 0.01, "percent": 0.01, "per cent": 0.01}
_SCALES |= {"thousand": 1e3, "k": 1e3, "million": 1e6, "m": 1e6, "mn": 1e6, "mio": 1e6}
_SCALES |= {"billion": 1e9, "b": 1e9, "bn": 1e9, "trillion": 1e12, "tn": 1e12}
_SCALES |= {"％": 0.01, "万": 1e4, "亿": 1e8}
_NUMBER = re.compile(
    r"(?<![A-Za-z\d_])(?<!\d\.)((?<!\w)[-+\u2212])?[$€£¥]?\s?"
    r"((?:\d{1,3}(?:[,\u00a0\u202f]\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)((?:[eE][-+]?\d{1,2})?)"
    r"\s?(%|％|万|亿|(?:percent|per cent|thousand|million|billion|trillion|k|mn|mio|m|bn|b|tn)(?![A-Za-z]))?",
    re.IGNORECASE,
)
_UNIT = re.compile(r"\W*[^\W\d_]*\W*")  # what may follow a number that is the whole reference
_ASKS_FOR_YEAR = re.compile(
    r"\b(?:which|what|whose)(?: \w+)? years?\b|\bwhen\b|\byear (?:did|was|had|has|is|with|when|that)\b|哪(?:一)?年",
    re.IGNORECASE,
)
_YES_OR_NO = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
_BETWEEN = re.compile(r";|、|，|\n|,(?!\d{3}(?!\d))|\band\b")


class Number(NamedTuple):
    """A number and its unit of scale: 45% is 45 and 0.01."""

    value: float
    scale: float | None


def score(record: dict, response: dict) -> float:
    """1 or 0, or for a list of several items their share; see above."""
    answer = reference(record)
    wanted = answer if isinstance(answer, list) else [answer]
    if not all(_usable(each) for each in wanted):
        raise Unverifiable(
            f"a number, a text or a list is expected as answer, not {answer!r}"[:200]
        )
    gold = [str(each) for each in wanted]
    question = records.question(record)
    said = final(response)
    if len(said) > MAX_CHARACTERS:
        return 0.0
    if len(gold) == 1:
        return float(_right(gold[0], said, question))
    found = _items(said)
    if len(found) > max(MOST, 2 * len(gold)):
        return 0.0
    return share([[float(_right(each, item, question)) for item in found] for each in gold])


def extract(response: dict) -> str:
    """The final answer."""
    return final(response)


def _usable(answer: Any) -> bool:
    if isinstance(answer, str):
        return bool(normal(answer))
    return isinstance(answer, int | float) and not isinstance(answer, bool)


def _right(gold: str, said: str, question: str) -> bool:
    expected = _whole(gold)
    if expected is not None:
        found = _stated(said, question)
        exact = _is_year(gold) and bool(_ASKS_FOR_YEAR.search(question))
        return found is not None and _near(expected, found, 0.0 if exact else TOLERANCE)
    wanted = normal(gold)
    if wanted in ("yes", "no"):
        first = _YES_OR_NO.match(said)
        other = re.search(r"\bno\b" if wanted == "yes" else r"\byes\b", said, re.IGNORECASE)
        return first is not None and first[1].lower() == wanted and not other
    return wanted in (normal(said), normal(emphasized(said) or ""))


def _near(expected: Number, found: Number, tolerance: float) -> bool:
    if expected.scale and found.scale:
        pairs = [(expected.value * expected.scale, found.value * found.scale)]
    else:
        pairs = [
            (one, other)
            for one in {expected.value, expected.value * (expected.scale or 1)}
            for other in {found.value, found.value * (found.scale or 1)}
        ]
    return any(abs(p - t) <= (tolerance + ROUNDING) * abs(t) for t, p in pairs)


def _whole(gold: str) -> Number | None:
    """The number that a reference is, with one word of a unit at most; None for other texts."""
    text = gold.strip()
    found = _NUMBER.match(text)
    return _number(found) if found and _UNIT.fullmatch(text, found.end()) else None


def _is_year(gold: str) -> bool:
    return gold.strip().isdecimal() and len(gold.strip()) == 4


def _stated(said: str, question: str) -> Number | None:
    """The number that an answer states; None for none or several."""
    for text in (without_brackets(said), said):
        found = [(one.start(), one.end(), _number(one)) for one in _NUMBER.finditer(text)]
        if len({value for _, _, value in found}) > 1:
            asked = {_number(one) for one in _NUMBER.finditer(question)}
            found = [one for one in found if one[2] not in asked] or found
        if found:
            return chosen(text, found)
    return None


def _number(found: re.Match[str]) -> Number:
    sign, digits, exponent, scale = found.groups()
    value = float(re.sub(r"[,\u00a0\u202f]", "", digits) + exponent)
    if not math.isfinite(value):
        value = -1e300  # equals nothing that a chart shows, and stays apart in arithmetic
    return Number(-value if sign and sign != "+" else value, _SCALES.get((scale or "").lower()))


def _items(said: str) -> list[str]:
    """What a list names: a JSON list, or what stands between commas, semicolons, lines or "and"."""
    try:
        listed = orjson.loads(said)
    except orjson.JSONDecodeError:
        listed = _BETWEEN.split(said.strip().strip("[]"))
    if not isinstance(listed, list):
        listed = [listed]
    return [text for each in listed if (text := str(each).strip())]
