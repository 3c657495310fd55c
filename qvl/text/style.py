"""Abrupt shifts of style within an answer, as far as rules find them.

The rules find shouting in quiet text, chat words or emoji that begin late, simplified and traditional
Chinese in one text, and one change between polite and plain sentence endings in Japanese or Korean.
A query that requests another style (words/casual.txt) excuses them all.
"""

import functools
import re
from collections.abc import Iterator

from qvl.text import words
from qvl.text.prose import prose

SHOUTED = 10  # words in a row
QUIET = 15  # words that are not shouted
CHAT_WORDS = 3  # distinct ones, in the part of the text that has them
EMOJI = 5
MIN_BEFORE = 150  # characters before the first chat word or emoji
VARIANT_CHARACTERS = 4  # of each kind, and a fifth of those of both
SENTENCES = 3  # of each register
LONGEST_ENDING = 8  # characters that the patterns of a register look at

CAPITALS = re.compile(rf"(?:\b[A-Z\u0410-\u042f\u00c0-\u00de]{{2,}}\b[ ,'!\u2019-]*){{{SHOUTED},}}")
CAPITAL_WORD = re.compile(r"[A-Z\u0410-\u042f\u00c0-\u00de]{2}")
LOWER = re.compile(r"\b[a-z\u0430-\u044f\u00e0-\u00fe]{2,}\b")
LEGAL = re.compile(r"\b(?:WARRANT|LIAB|LICENS|DISCLAIM)")  # legal texts are often in capitals
SMILE = re.compile("[\U0001f300-\U0001faff\u2600-\u26ff❤]")
TOKEN = re.compile(r"[^\W_]+")
SENTENCE = re.compile(r"[^。！？!?.\n]+(?=[。！？!?.])")  # no line of a list
KANA = re.compile(r"[\u3041-\u30fa]")
HAN = re.compile(r"[\u4e00-\u9fff]")
HANGUL = re.compile(r"[\uac00-\ud7a3]")
EAST_OR_SMILE = re.compile(
    "[\u3041-\u30fa\u4e00-\u9fff\uac00-\ud7a3\U0001f300-\U0001faff\u2600-\u26ff❤]"
)


def shift(text: str) -> str:
    """A description of the change in the style of `text`, or ""."""
    body = prose(text)
    if len(body) < 40:
        return ""
    if not EAST_OR_SMILE.search(body):  # these rules alone find something in it
        return _shouting(body) or _chat(body, east=False)
    east = bool(HAN.search(body) or HANGUL.search(body))
    return (
        _shouting(body)
        or _chat(body, east=east)
        or _emoji(body)
        or _chinese_variants(body)
        or _register(body)
    )


def _shouting(body: str) -> str:
    found = CAPITAL_WORD.search(body) and CAPITALS.search(body)
    if found and len(LOWER.findall(body)) >= QUIET and not LEGAL.search(body):
        return f"shouts {found.group()[:40]!r}"
    return ""


def _chat(body: str, *, east: bool) -> str:
    """Chat words that begin after a stretch without any; `east`: of a text with Han or Hangul."""
    slang, unspaced = _slang()
    if not east and len(slang & words.vocabulary(body)) < CHAT_WORDS:
        return ""
    lowered = words.lowered(body)
    first, seen = len(body), set()
    if not slang.isdisjoint(words.vocabulary(body)):
        for match in TOKEN.finditer(lowered):
            if match.group() in slang:
                first = min(first, match.start())
                seen.add(match.group())
    if east and _any_unspaced().search(lowered):
        for word in unspaced:
            place = lowered.find(word)
            if place >= 0 and not any(word in other for other in seen):
                first = min(first, place)
                seen.add(word)
    if len(seen) >= CHAT_WORDS and first * (3 if east else 1) >= MIN_BEFORE:
        return f"turns to chat: {' '.join(sorted(seen))[:40]!r}"
    return ""


def _emoji(body: str) -> str:
    if body.isascii():
        return ""
    places = [match.start() for match in SMILE.finditer(body)]
    if len(places) >= EMOJI and places[0] >= MIN_BEFORE and places[0] >= len(body) / 2:
        return f"{len(places)} emoji after {places[0]} characters without"
    return ""


def _chinese_variants(body: str) -> str:
    """Simplified beside traditional Chinese; not in Japanese, which uses characters of both."""
    if body.isascii() or KANA.search(body) or HANGUL.search(body):
        return ""
    simplified, traditional = _hanzi()
    letters = frozenset(body)
    if letters.isdisjoint(simplified) or letters.isdisjoint(traditional):
        return ""
    one = [letter for letter in body if letter in simplified]
    other = [letter for letter in body if letter in traditional]
    fewer = min(len(one), len(other))
    if fewer >= VARIANT_CHARACTERS and fewer >= 0.2 * (len(one) + len(other)):
        return f"simplified {''.join(one[:6])!r} and traditional {''.join(other[:6])!r}"
    return ""


def _register(body: str) -> str:
    """A single change of register, with at least SENTENCES sentences before and after it."""
    if body.isascii():
        return ""
    for language, letters in (("ja", KANA), ("ko", HANGUL)):
        if not letters.search(body):
            continue
        found = [one for one in map(_register_of(language), SENTENCE.findall(body)) if one]
        changes = [place for place in range(1, len(found)) if found[place] != found[place - 1]]
        if len(changes) == 1 and SENTENCES <= changes[0] <= len(found) - SENTENCES:
            return f"from {found[0]} to {found[-1]} endings after {changes[0]} sentences"
    return ""


def _register_of(language: str):  # type: ignore[no-untyped-def]
    registers = _registers(language)

    def of(sentence: str) -> str:
        stripped = sentence.strip().rstrip('」』”")')[-LONGEST_ENDING:]
        return next((name for name, ends in registers if ends.search(stripped)), "")

    return of


@functools.cache
def _registers(language: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    def entries() -> Iterator[tuple[str, re.Pattern[str]]]:
        for line in words.lines("registers"):
            head, _, pattern = line.partition(":")
            name = head.split()
            if name[0] == language:
                yield name[1], re.compile(pattern.strip())

    return tuple(entries())


@functools.cache
def _slang() -> tuple[frozenset[str], tuple[str, ...]]:
    """Words between spaces, and those of Chinese and Korean, which are searched for as substrings."""
    entries = [word for line in words.lines("slang") for word in line.split()]
    unspaced = [one for one in entries if HAN.search(one) or KANA.search(one) or one >= "\u3131"]
    unspaced.sort(key=len, reverse=True)
    return frozenset(entries) - frozenset(unspaced), tuple(unspaced)


@functools.cache
def _any_unspaced() -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, _slang()[1])))


@functools.cache
def _hanzi() -> tuple[frozenset[str], frozenset[str]]:
    pairs = [pair for line in words.lines("hanzi") for pair in line.split()]
    return frozenset(pair[0] for pair in pairs), frozenset(pair[1] for pair in pairs)
