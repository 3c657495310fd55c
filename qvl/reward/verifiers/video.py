"""Video: the time spans of a response against the reference's.

    reward = sum over the best one-to-one pairs of tIoU / max(expected, found)

The tIoU of two spans is the time in both over the time in either. Each extra or missing span costs its share;
a span that ends before it begins matches nothing, but counts as a span. Accepted forms: "12.5s - 20s", "from
12.5 to 20 seconds", "00:12 to 00:20.5", "1:02:03-1:02:10", "00:00:12.500 --> 00:00:20,000", "1 min 5 s to 1 min 9 s", "starts at 12.5 s and
ends at 20 s", [12.5, 20], lists of these and {"start": ..., "end": ...}. In an answer of several paragraphs, the last one with a span counts.

Other implementations divide by the time from the first start to the last end, which is the same only if the
spans overlap, and fail if both have no length (Time-R1); or they take the last two numbers of any kind.
"""

import re
from typing import Any

from qvl.reward import Unverifiable, reference
from qvl.reward.reading.answer_block import answer_block
from qvl.reward.reading.matching import share

MOST = 60  # spans of a response, or twice the spans of the reference if that is more; our choice

_SECONDS = r"(?:s|secs?|seconds?|秒)"
_MINUTES = r"(?:m|mins?|minutes?|分(?:钟)?)"
_PLAIN = r"\d{1,6}(?:\.\d{0,6})?"
_MOMENT = re.compile(
    rf"(?:(\d{{1,3}}):)?(\d{{1,3}}):(\d\d(?:\.\d{{1,6}}|,\d{{3}}(?![\d:]))?)|({_PLAIN})\s?{_MINUTES}(?:\s?({_PLAIN})\s?{_SECONDS})?(?![A-Za-z])"
    rf"|({_PLAIN})(?:\s?{_SECONDS}(?![A-Za-z]))?",
    re.IGNORECASE,
)
_TIME = re.sub(r"(?<!\\)\((?!\?)", "(?:", _MOMENT.pattern)  # the same without groups
_END = r"(?:ends?|ending|finish(?:es|ing)?|stops?|stopping|last(?:s|ing)?\s+(?:until|till|to)|end[_ ]time)"
_TO = (
    r"(?:-{1,2}>?|→|\u2013|\u2014|~|～|,|\bto\b|\band\b|\buntil\b|\btill?\b|\bthrough\b|到|至"
    rf"|[,;，；.]?\s{{0,3}}(?:\b(?:and|then)\s+)?(?:\b(?:it|the\s+\w+)\s+)?\b{_END}\b\s*(?:at|by|around|on|is|[:=：])?\s*(?:about\s+)?"
    r"|(?:的?时候)?(?:开始|起)\s*[，,]?\s*(?:并|且|一直)?(?:到|至|持续到|在|于)?)"
)
_SIGN = r"(?:-|\u2013|\u2014|~|～|,|\bto\b|\band\b|\buntil\b|\btill?\b|\bthrough\b|到|至)"
_SHORT, _SPAN = (  # the short pattern is for texts without the words of the other, for speed
    re.compile(
        rf"(?<![A-Za-z0-9_.:])(?:第\s*)?({_TIME})\s*{between}\s*(?:第\s*)?({_TIME})(?![\d:])",
        re.IGNORECASE,
    )
    for between in (_SIGN, _TO)
)
_NEEDS_MORE = ("end", "finish", "stop", "last", "开始", "起", "--", "→")
# Around a time in JSON, and in Qwen3-VL's own format <12.5 seconds>.
_AROUND = re.compile(
    r"[\"'](?:start|end|begin|from|to)(?:_?time)?(?:_?(?:s|sec|seconds))?[\"']\s*:|[\"'<>]"
)

Span = tuple[float, float]  # start and end, in seconds


def score(record: dict, response: dict) -> float:
    """The reward from 0 to 1; more than MOST spans, and more than twice the reference's, score 0."""
    gold = _gold(reference(record))
    if not gold or not all(0 <= start < end for start, end in gold):
        answer = repr(record["answer"])[:200]
        raise Unverifiable(
            f"answer: expected [start, end] in seconds or a list of these, got {answer}"
        )
    found = _read(response)
    if len(found) > max(MOST, 2 * len(gold)):
        return 0.0
    return share([[tiou(one, other) for other in found] for one in gold])


_latest: tuple[Any, list[Span]] = None, []


def _gold(answer: Any) -> list[Span]:
    """The spans of a reference, which many responses share."""
    global _latest
    if _latest[0] is not answer:
        _latest = answer, references(answer)
    return _latest[1]


def extract(response: dict) -> list[Span]:
    """The first MOST spans of the response, in seconds."""
    return _read(response)[:MOST]


def _read(response: dict) -> list[Span]:
    """The spans of the last paragraph that has any."""
    for paragraph in reversed(answer_block(response).split("\n\n")):
        found = spans(paragraph)
        if found:
            return found
    return []


def spans(text: str) -> list[Span]:
    """Every span of a text."""
    text = _AROUND.sub("", text)
    lower = text.lower()
    pattern = _SPAN if any(word in lower for word in _NEEDS_MORE) else _SHORT
    return [(_seconds(start), _seconds(end)) for start, end in pattern.findall(text)]


def references(answer: Any) -> list[Span]:
    """The spans of a reference: [start, end] in seconds or as "mm:ss", {"start": .., "end": ..}, a
    text, or a list of these."""
    if isinstance(answer, str):
        return spans(answer)
    if isinstance(answer, dict):
        return references([answer.get("start"), answer.get("end")])
    if not isinstance(answer, list):
        return []
    if len(answer) == 2:
        moments = [_moment(one) for one in answer]
        if moments[0] is not None and moments[1] is not None:
            return [(moments[0], moments[1])]
    return [span for one in answer if not isinstance(one, int | float) for span in references(one)]


def _moment(value: Any) -> float | None:
    if isinstance(value, str) and _MOMENT.fullmatch(value.strip()):
        return _seconds(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _seconds(text: str) -> float:
    """The seconds of a text that _MOMENT matches."""
    found = _MOMENT.match(text.strip())
    assert found, text
    hours, minutes, seconds, long, rest, plain = (
        float((each or "0").replace(",", ".")) for each in found.groups()
    )
    return 3600 * hours + 60 * (minutes + long) + seconds + rest + plain


def tiou(a: Span, b: Span) -> float:
    """The time in both spans over the time in either; 0 if the length of one is not positive."""
    both = min(a[1], b[1]) - max(a[0], b[0])
    if both <= 0 or a[0] >= a[1] or b[0] >= b[1]:
        return 0.0
    return both / ((a[1] - a[0]) + (b[1] - b[0]) - both)  # grouped so that it is symmetric
