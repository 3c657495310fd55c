"""Check an answer's result against the record's reference answer, and its reasoning against its content."""

import re
from fractions import Fraction
from typing import NamedTuple

from qvl.reward import REWARDS
from qvl.reward.reading.extract import final
from qvl.reward.time_limit import VERDICT_SECONDS
from qvl.reward.verdict import compares_words, judge
from qvl.text.answers import Answer

BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}")


class NoVerdict(NamedTuple):
    """The verifier failed, or ran out of time: the answer is neither right nor wrong, and is counted."""

    detail: str


def correctness(
    record: dict, answer: Answer, seconds: float = VERDICT_SECONDS
) -> float | NoVerdict | None:
    """The reward of the task's verifier; None without a verifier or a reference answer, or if the reward is
    not reliable.

    A verifier that compares words expects the final answer alone, so it gives 0 to "The shortest is Cid." A 0
    for a last line that contains the reference answer is not reliable.
    """
    task, reference = record.get("task"), record.get("answer")
    if reference is None or task not in REWARDS:
        return None
    response = {"content": answer.content}
    verdict = judge(record, response, seconds=seconds)
    if verdict.reward is None:
        return NoVerdict(f"{verdict.status}: {verdict.detail}")
    if verdict.reward == 0 and isinstance(reference, str) and compares_words(task):
        mentioned = rf"(?<!\w){re.escape(reference.strip())}(?!\w)"
        if re.search(mentioned, final(response), re.IGNORECASE):
            return None
    return verdict.reward


def inconsistent(answer: Answer) -> str:
    """How the conclusion of the reasoning differs from that of the content; "" if they agree or cannot be compared.

    Two conclusions are compared if both are boxed; or if both are a number or a letter after "the answer is",
    or the content is nothing else. A conclusion with a doubt after it does not count.
    """
    if not answer.reasoning:
        return ""
    if "\\boxed" in answer.reasoning and "\\boxed" in answer.content:
        reasoned, stated = BOXED.findall(answer.reasoning), BOXED.findall(answer.content)
        if not reasoned or not stated or _bare(reasoned[-1]) == _bare(stated[-1]):
            return ""
        one, other = _value(reasoned[-1]), _value(stated[-1])
        if one is not None and other is not None and _same(one, other):
            return ""
        return f"the reasoning concludes {reasoned[-1][:40]!r}, the answer {stated[-1][:40]!r}"
    conclusion = _concluded(answer.reasoning)
    other = _concluded(answer.content) or _alone(answer.content)
    if conclusion is None or other is None or conclusion.agrees(other):
        return ""
    return f"the reasoning concludes {str(conclusion)!r}, the answer {str(other)!r}"


class Conclusion(NamedTuple):
    """A number with its unit, or the letter of an option."""

    value: Fraction | str
    unit: str

    def __str__(self) -> str:
        return f"{self.value} {self.unit}".strip()

    def agrees(self, other: "Conclusion") -> bool:
        """Whether the two are equal, or cannot be compared: a letter and a number, or two units."""
        if isinstance(self.value, str) or isinstance(other.value, str):
            return type(self.value) is not type(other.value) or self.value == other.value
        if self.unit and other.unit and self.unit != other.unit:
            return True
        return _same(self.value, other.value)


NUMBER = r"[-\u2212]?\d+(?:,\d{3})*(?:\.\d+)?(?:\s*/\s*\d+)?%?"
CONCLUDES = re.compile(
    r"(?:\banswer(?: is|:| would be| should be| must be)|答案(?:应该|就)?(?:是|为|[:：])|答えは"
    r"|(?:정답|답)(?:은|이|:)|ответ(?:\s*[:\u2014-]| будет)|\brespuesta(?: correcta)?(?: es|:)"
    r"|\bréponse(?: est|:)|\bantwort(?: ist|:| lautet)|(?:الإجابة|الجواب)(?: الصحيحة)?(?: هي| هو|:))"
    rf"\s*:?\s*[*$\s「(（]*(?:option |choice |选项|選択肢|la |la opción |вариант )?(?:(?P<number>{NUMBER})|(?P<letter>[a-h])(?![\w']))"
    r"(?P<rest>[ *$]*[^\W\d_]*)",
    re.IGNORECASE,
)
ALONE = re.compile(rf"\W*(?:(?P<number>{NUMBER})|(?P<letter>[A-H]))(?P<rest>[ *$]*[^\W\d_]*)\W*")
DOUBTS = re.compile(
    r"\b(?:wait|actually|but|however|hmm|mistake|wrong|recheck|instead|or)\b|等等|不对|但是|不过|错|重新"
    r"|しかし|違う|待って|잠깐|하지만|стой|но |ошиб|\bespera\b|\bpero\b|\bmais\b|\baber\b|لكن|انتظر",
    re.IGNORECASE,
)


def _concluded(text: str) -> Conclusion | None:
    """The last conclusion of a text; None if there is none, or a doubt follows it, or it begins a formula."""
    last = (list(CONCLUDES.finditer(text)) or [None])[-1]
    if last is None or DOUBTS.search(text, last.start("rest")):
        return None
    if (
        text[last.end() : last.end() + 3].lstrip(" *")[:1] in _GOES_ON
        and last["rest"].strip(" *$") == ""
    ):
        return None
    return _conclusion(last)


_GOES_ON = tuple("+-*/=^<>\\×÷")  # "the answer is 2 + 3"


def _alone(text: str) -> Conclusion | None:
    found = ALONE.fullmatch(text.strip()) if len(text) < 40 else None
    return _conclusion(found) if found else None


def _conclusion(found: re.Match[str]) -> Conclusion | None:
    unit = found["rest"].strip(" *$").lower()
    if found["letter"]:
        return Conclusion(found["letter"].upper(), "")
    value = _value(found["number"])
    return None if value is None else Conclusion(value, unit)


def _value(text: str) -> Fraction | None:
    plain = re.sub(r"[\s,$]|\\[,!; ]", "", text).replace("\u2212", "-")
    frac = re.fullmatch(r"(-?)\\[dt]?frac\{(\d+)\}\{(\d+)\}", plain)
    if frac:
        plain = f"{frac[1]}{frac[2]}/{frac[3]}"
    percent = plain.endswith(("%", "\\%"))
    plain = plain.rstrip("%\\")
    if not _NUMBER.fullmatch(plain) or len(plain) > MAX_DIGITS:
        return None
    try:
        value = Fraction(plain)
    except ZeroDivisionError:
        return None
    return value / 100 if percent else value


MAX_DIGITS = 300  # characters of a number; a longer one is not an answer
# A fraction with an exponent of nine digits takes a gigabyte, and no alarm interrupts it.
_NUMBER = re.compile(r"[-+]?(?:\d+(?:/\d+)?|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)", re.ASCII)


def _same(one: Fraction, other: Fraction) -> bool:
    """Whether two numbers are equal, but for rounding and percent."""
    if one.denominator == other.denominator == 1 and 100 not in (
        one / (other or 1),
        other / (one or 1),
    ):
        return one == other
    largest = max(abs(one), abs(other))
    return abs(one - other) <= largest / 100 or one == 100 * other or other == 100 * one


def _bare(result: str) -> str:
    """A result without markup that does not change it: spaces, \\text, $, and the d of \\dfrac."""
    plain = result.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    return re.sub(r"\\text\s*|\\left|\\right|\\[,!; ]|[\s${}]", "", plain).rstrip(".").lower()
