"""Charts: relaxed accuracy. A number is right within 5%, any other text if it equals the reference.

    right if |p - t| <= 0.05 |t|,   p the predicted number, t the reference's

(PlotQA, arXiv 1909.00997, section 5; ChartQA, arXiv 2203.10244, section 5.1). Common implementations
fail on the following, which are handled here:
- a target of 0, for which they compare the texts, so that "0.0" is not 0;
- "45%" against 45, which becomes 0.45. If only one side has a unit of scale (%, thousand, million, k,
  bn, ...), the number is tried with and without it; if both have one, both are converted;
- "1,234" and "$12", which float() does not parse;
- the year 2010 for 2015, which is within 5%: if the question asks for a year, the number must be equal
  (as in ChartQAPro, arXiv 2504.05506).

A final answer with several different numbers has chosen none. Numbers of the question are ignored
("In 2015 it was 45"), and a conclusion counts ("50 - 5 = 45"). If the reference is a list, items are
compared in any order: the reward is the right items over the larger number of items.
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
ROUNDING = 1e-9  # relative; so that 105 is within 5% of 100 in floating point too
MAX_CHARACTERS = 2000  # of a final answer; a longer one scores 0
MOST = 100  # items of a response, or twice the items of the reference if that is more; more score 0

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
_UNIT = re.compile(r"\W*[^\W\d_]*\W*")  # what may follow the number in a numeric reference
_ASKS_FOR_YEAR = re.compile(
    r"\b(?:which|what|whose)(?: \w+)? years?\b|\bwhen\b|\byear (?:did|was|had|has|is|with|when|that)\b|哪(?:一)?年",
    re.IGNORECASE,
)
_YES_OR_NO = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
_BETWEEN = re.compile(r";|、|，|\n|,(?!\d{3}(?!\d))|\band\b")


class Number(NamedTuple):
    """A number and its unit of scale: 45% is (45, 0.01)."""

    value: float
    scale: float | None


def score(record: dict, response: dict) -> float:
    """1 or 0; for a reference of several items the share of right ones."""
    answer = reference(record)
    wanted = answer if isinstance(answer, list) else [answer]
    if not all(_usable(each) for each in wanted):
        raise Unverifiable(f"answer: expected a number, a text or a list, got {answer!r}"[:200])
    gold = [str(each) for each in wanted]
    question = records.question(record)
    final_answer = final(response)
    if len(final_answer) > MAX_CHARACTERS:
        return 0.0
    if len(gold) == 1:
        return float(_right(gold[0], final_answer, question))
    found = _items(final_answer)
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


def _right(gold: str, final_answer: str, question: str) -> bool:
    """Whether an answer, or an item of one, is the reference."""
    expected = _whole(gold)
    if expected is not None:
        found = _stated(final_answer, question)
        exact = _is_year(gold) and bool(_ASKS_FOR_YEAR.search(question))
        return found is not None and _near(expected, found, 0.0 if exact else TOLERANCE)
    wanted = normal(gold)
    if wanted in ("yes", "no"):
        first = _YES_OR_NO.match(final_answer)
        other = re.search(r"\bno\b" if wanted == "yes" else r"\byes\b", final_answer, re.IGNORECASE)
        return first is not None and first[1].lower() == wanted and not other
    return wanted in (normal(final_answer), normal(emphasized(final_answer) or ""))


def _near(expected: Number, found: Number, tolerance: float) -> bool:
    """Whether two numbers are equal within a relative tolerance, in one of the possible scales."""
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
    """The number of a reference that is a number with at most one word of unit; None for other texts."""
    text = gold.strip()
    found = _NUMBER.match(text)
    return _number(found) if found and _UNIT.fullmatch(text, found.end()) else None


def _is_year(gold: str) -> bool:
    return gold.strip().isdecimal() and len(gold.strip()) == 4


def _stated(final_answer: str, question: str) -> Number | None:
    """The number that an answer states; None if it has no number, or several without a conclusion."""
    for text in (without_brackets(final_answer), final_answer):
        found = [(one.start(), one.end(), _number(one)) for one in _NUMBER.finditer(text)]
        if len({value for _, _, value in found}) > 1:
            in_question = {_number(one) for one in _NUMBER.finditer(question)}
            found = [one for one in found if one[2] not in in_question] or found
        if found:
            return chosen(text, found)
    return None


def _number(found: re.Match[str]) -> Number:
    sign, digits, exponent, scale = found.groups()
    value = float(re.sub(r"[,\u00a0\u202f]", "", digits) + exponent)
    if not math.isfinite(value):
        value = -1e300  # equals no number of a chart, and stays finite
    return Number(-value if sign and sign != "+" else value, _SCALES.get((scale or "").lower()))


def _items(final_answer: str) -> list[str]:
    """The items of a JSON list, or of a text that separates them by commas, semicolons, lines or "and"."""
    try:
        listed = orjson.loads(final_answer)
    except orjson.JSONDecodeError:
        listed = _BETWEEN.split(final_answer.strip().strip("[]"))
    if not isinstance(listed, list):
        listed = [listed]
    return [text for each in listed if (text := str(each).strip())]
