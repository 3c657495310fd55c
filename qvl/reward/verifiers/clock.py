"""Clock reading: the final answer names the time on the dial, and no other time.

The reward is 1 if the hour and the minute are right, and the second if the reference has one; else 0. A
dial has twelve hours: 15:05 is 3:05, and 0:30 is 12:30, unless both sides give the half of the day (am,
pm, or an hour from 13 on). Accepted forms: 3:05, 03:05:10, 3.05 pm, 3h05, 3 o'clock, "ten past three",
"quarter to four", "three fifteen", noon, and the Chinese forms. An answer with several different times has
chosen none; "3:15 (quarter past three)" is one time.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from qvl.reward import Unverifiable, reference
from qvl.reward.reading.candidates import is_denial
from qvl.reward.reading.extract import final
from qvl.reward.reading.numerals import CHINESE, ENGLISH, chinese, english

MAX_CHARACTERS = 1000  # of a final answer; a longer one scores 0


class Time(NamedTuple):
    """A time on a dial. An impossible one, such as 3:75, is never right."""

    hour: int
    """0 to 11"""
    minute: int
    second: int | None = None
    half: str = ""
    """am, pm, or "" if unknown"""

    def __str__(self) -> str:
        seconds = "" if self.second is None else f":{self.second:02d}"
        return f"{self.hour or 12}:{self.minute:02d}{seconds}{' ' * bool(self.half)}{self.half}"


def score(record: dict, response: dict) -> float:
    """1 if the final answer's time is the reference's, else 0."""
    answer = reference(record)
    text = f"{answer}:00" if type(answer) is int else answer
    gold = times(text) if isinstance(text, str) else ()
    if len(gold) != 1 or not _possible(gold[0]):
        raise Unverifiable(f"answer: expected a time such as 3:05, got {answer!r}"[:200])
    found = _read(response)
    return float(found is not None and _same(gold[0], found) and _as_exact(gold[0], found))


def extract(response: dict) -> str | None:
    """The time of the final answer, such as "3:05"; None without one."""
    found = _read(response)
    return None if found is None else str(found)


def _read(response: dict) -> Time | None:
    """The time of the final answer; None if it has none, or times that differ or are impossible."""
    text = final(response)
    found = times(text) if len(text) <= MAX_CHARACTERS else ()
    if not found or not all(
        _possible(one) and _same(one, other) for one in found for other in found
    ):
        return None
    if is_denial(text):
        return None
    return max(found, key=lambda one: (one.second is not None, one.half))  # the most exact one


def _same(one: Time, other: Time) -> bool:
    """Whether two times are equal: in hour and minute, and in second and half of the day if both have it."""
    if (one.hour, one.minute) != (other.hour, other.minute):
        return False
    seconds, halves = {one.second, other.second} - {None}, {one.half, other.half} - {""}
    return len(seconds) < 2 and len(halves) < 2


def _as_exact(gold: Time, found: Time) -> bool:
    return gold.second is None or found.second is not None


def _possible(time: Time) -> bool:
    return time.hour >= 0 and time.minute < 60 and (time.second or 0) < 60


_HALF = r"(?:\s*([ap])\.?\s?m\b\.?)"
_BEFORE = r"(凌晨|早上|上午|中午|下午|傍晚|晚上)?"  # dawn ... evening
_MORNING = ("凌晨", "早上", "上午")
_EVENING = ("下午", "傍晚", "晚上")
_NUMBER = rf"(\d{{1,2}}|{CHINESE})"
_WORDS = ENGLISH.pattern
_QUARTERS = {"quarter": 15, "half": 30, "半": 30, "一刻": 15, "三刻": 45}
_FLAGS = re.IGNORECASE

_COLON = re.compile(
    rf"{_BEFORE}\s*(?<![\d:.])(\d{{1,2}})\s?[:：]\s?(\d\d)(?:\s?[:：]\s?(\d\d))?{_HALF}?(?![\d:])",
    _FLAGS,
)
_POINT = re.compile(rf"(?<![\d:.])(\d{{1,2}})\.(\d\d){_HALF}", _FLAGS)
_FRENCH = re.compile(r"(?<![\w:.])(\d{1,2})\s?h\s?(\d\d)?(?!\w)", _FLAGS)
_HOUR = re.compile(rf"(?<![\w:.])(\d{{1,2}})(?:\s*o\W?clock{_HALF}?|{_HALF})", _FLAGS)
_CHINESE_TO = re.compile(
    rf"差\s*(?:{_NUMBER}\s*分|(一刻))\s*(?:钟)?\s*(?:到)?\s*{_NUMBER}\s*[点點]"
)
_CHINESE = re.compile(
    rf"{_BEFORE}\s*{_NUMBER}\s*[点點时時](?!钟)"
    rf"(?:\s*(?:(半|一刻|三刻)|过?{_NUMBER}\s*分?(?:\s*{_NUMBER}\s*秒)?))?"
)
_CHINESE_HOUR = re.compile(rf"{_BEFORE}\s*{_NUMBER}\s*点钟")
_PAST = re.compile(
    rf"(?:(half|quarter)|(\d{{1,2}}|{_WORDS})(?:\s+minutes?)?)\s+(past|after|to|till?|until|before)"
    rf"\s+(\d{{1,2}}|{_WORDS})\b(?!\s*[:.]\d)(?:\s*o\W?clock)?{_HALF}?",
    _FLAGS,
)
_SPOKEN = re.compile(
    rf"({_WORDS})(?:\s+o\W?clock|[\s-]+(?:oh?[\s-]+)?({_WORDS})(?!\s+(?:past|after|to|before)\b)){_HALF}?"
    rf"|({_WORDS}){_HALF}",
    _FLAGS,
)
_NAMED = re.compile(r"\b(noon|midday|midnight)\b", _FLAGS)


@lru_cache(8192)
def times(text: str) -> tuple[Time, ...]:
    """The times that a text names, each once."""
    found: list[Time] = []

    def read(make: Callable[[re.Match[str]], Time]) -> Callable[[re.Match[str]], str]:
        def keep(match: re.Match[str]) -> str:
            found.append(make(match))
            return ";"  # so that no other pattern matches a part of it

        return keep

    for pattern, make in _FORMS:
        text = pattern.sub(read(make), text)
    return tuple(dict.fromkeys(found))


def _time(
    hour: str | int, minute: str | int = 0, second: str | None = None, half: str = ""
) -> Time:
    """Return a time on a dial, from an hour up to 24; a later hour becomes -1, which is impossible."""
    hours = hour if isinstance(hour, int) else _value(hour)
    minutes = minute if isinstance(minute, int) else _value(minute)
    if minutes < 0:  # "ten to four"
        hours, minutes = hours - 1 if hours else 23, minutes + 60
    half = {"a": "am", "p": "pm"}.get(half[:1].lower(), "") or ("pm" if 13 <= hours < 24 else "")
    seconds = _value(second) if second else None
    return Time(hours % 12 if hours <= 24 else -1, minutes, seconds, half)


def _value(text: str) -> int:
    if text.isdecimal():
        return int(text)
    return english(text) if text.isascii() else chinese(text)


def _side(word: str | None) -> str:
    return "am" if word in _MORNING else "pm" if word in _EVENING else ""


def _colon(found: re.Match[str]) -> Time:
    before, hour, minute, second, half = found.groups()
    return _time(hour, minute, second, half or _side(before))


def _past(found: re.Match[str]) -> Time:
    named, minutes, way, hour, half = found.groups()
    minute = _QUARTERS[named.lower()] if named else _value(minutes)
    return _time(hour, minute if way.lower() in ("past", "after") else -minute, None, half or "")


def _spoken(found: re.Match[str]) -> Time:
    hour, minute, half, alone, its_half = found.groups()
    return _time(hour or alone, minute or 0, None, half or its_half or "")


def _chinese(found: re.Match[str]) -> Time:
    before, hour, named, minute, second = found.groups()
    return _time(hour, _QUARTERS[named] if named else minute or 0, second, _side(before))


def _chinese_to(found: re.Match[str]) -> Time:
    return _time(found[3], -(_value(found[1]) if found[1] else 15))


_FORMS: list[tuple[re.Pattern[str], Callable[[re.Match[str]], Time]]] = [
    (_PAST, _past),
    (_COLON, _colon),
    (_POINT, lambda found: _time(found[1], found[2], None, found[3])),
    (_HOUR, lambda found: _time(found[1], 0, None, found[2] or found[3] or "")),
    (_FRENCH, lambda found: _time(found[1], found[2] or 0)),
    (_CHINESE_TO, _chinese_to),
    (_CHINESE_HOUR, lambda found: _time(found[2], 0, None, _side(found[1]))),
    (_CHINESE, _chinese),
    (_SPOKEN, _spoken),
    (_NAMED, lambda found: _time(12, 0, None, "a" if found[1].lower() == "midnight" else "p")),
]
