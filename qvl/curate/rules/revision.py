"""Refuse revisions of a question that may change its meaning; a clearer wording passes.

A revision may add words. It may not lose or reorder them: every word of the original must remain, in
the same order, except pronouns, articles and the like (words/may_go.txt), typing errors (captial,
temperture) and endings (drop, drops). So "the largest city" cannot become the smallest one, a cat a dog,
nor Tom Ann. Numbers, negations, quotations, code, formulas, addresses, answer options and the script are
counted and must stay the same. An addition that changes the meaning ("red dogs" for "dogs") is not found.
"""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from qvl.errors import need
from qvl.text import words

MIN_SIMILARITY = 0.2  # of the texts, by insertions and deletions: our choice
KEPT = {  # name -> pattern; a revision must have the same matches, equally often
    "number": re.compile(r"\d+(?:[.,:/]\d+)*"),
    "negation": re.compile(
        r"\b(?:not|no|never|none|neither|nor|without|except|cannot)\b|n['\u2019]t\b"
        r"|不|没|无|非|未|除了"
        r"|\b(?:kein\w*|nicht|ohne|pas|sans|jamais|nunca|sin|nie|senza|non|não|sem)\b",
        re.IGNORECASE,
    ),
    "formula": re.compile(r"\$[^$]+\$|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL),
    "sign": re.compile(r"(?<=[\d\s])[-+*/=<>×÷\u2212](?=[\d\s])"),
    "code": re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL),
    "quotation": re.compile(r"\"[^\"\n]+\"|“[^”\n]+”|「[^」\n]+」"),
    "address": re.compile(r"(?:https?://|www\.)\S+"),
    "answer option": re.compile(r"^\s*\(?[A-Ja-j][.):]\s.*$|\([A-J]\)", re.MULTILINE),
    "placeholder": re.compile(r"<(?:image|video|img)\b[^>]*>", re.IGNORECASE),
}
_YES_OR_NO = re.compile(  # the requested form of an answer, not a negation
    r"\byes or no\b|\b(?:oui ou|sí o|ja oder) (?:non|no|nein)\b|是还是不是|是或否",
    re.IGNORECASE,
)
_HAN = "\u3400-\u9fff"
_WORD = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+(?:['\u2019][^\W_{_HAN}]+)?")
_ENDINGS = ("s", "es", "ed", "d", "ing", "'s", "ly")
_SLIP_FROM = 5  # letters; a shorter word with a letter less is another word


def refusal(original: str, revision: str, min_similarity: float = MIN_SIMILARITY) -> str | None:
    """Why a revision may change the meaning; None if no rule finds a change."""
    if not revision.strip():
        return "it is empty"
    for name, pattern in KEPT.items():
        before, after = (_counted(pattern, text) for text in (original, revision))
        if before != after:
            found = next(iter((before - after) or (after - before)))
            verb = "loses" if before - after else "adds"
            return f"it {verb} the {name} {found[:40]!r}"
    before, after = _script(original), _script(revision)
    if before and after and before != after:
        return f"it is written in {after.title()}, not in {before.title()}"
    lost = _lost(_words(original), _words(revision))
    if lost:
        return f"it loses {lost[:40]!r}, or moves it"
    similarity = need("rapidfuzz.fuzz").ratio(original, revision) / 100
    if similarity < min_similarity:
        return f"{similarity:.2f} of the text is left, below {min_similarity:g}"
    return None


def _lost(before: Sequence[str], after: Sequence[str]) -> str | None:
    """The first word of `before` that is missing or out of order in `after`, or None."""
    place = 0
    for word in before:
        found = next((i for i in range(place, len(after)) if _is_same(word, after[i])), None)
        if found is None:
            return word
        place = found + 1
    return None


def _is_same(one: str, other: str) -> bool:
    """Whether two words are equal, but for an ending or a letter that is swapped, missing or added."""
    if one == other:
        return True
    short, long = sorted((one, other), key=len)
    if not short.isascii() or len(short) < 3 or short[0] != long[0]:
        return False
    if long.startswith(short) and long[len(short) :] in _ENDINGS:
        return True
    if len(long) < _SLIP_FROM:
        return False
    if len(long) == len(short) + 1:
        return any(long[:i] + long[i + 1 :] == short for i in range(1, len(long)))
    swapped = (long[:i] + long[i + 1] + long[i] + long[i + 2 :] for i in range(1, len(long) - 1))
    return len(long) == len(short) and short in swapped


def _words(text: str) -> list[str]:
    """The words that a revision must keep, in lower case; a Chinese character is a word."""
    may_go, phrases = _may_go()
    plain = phrases.sub(" ", text.casefold().replace("\u2019", "'"))
    return [word for word in _WORD.findall(plain) if word not in may_go]


@functools.cache
def _may_go() -> tuple[frozenset[str], re.Pattern[str]]:
    """The words that a revision may drop, and the phrases that it may drop as a whole: which_one, but not one."""
    listed = frozenset(" ".join(words.lines("may_go")).split())
    phrases = {word for word in listed if "_" in word or re.fullmatch(f"[{_HAN}]{{2,}}", word)}
    longest_first = sorted((word.replace("_", " ") for word in phrases), key=len, reverse=True)
    pattern = "|".join(rf"\b{each}\b" if each.isascii() else each for each in longest_first)
    return listed - phrases, re.compile(pattern)


def _counted(pattern: re.Pattern[str], text: str) -> Counter[str]:
    plain = _YES_OR_NO.sub("", text)
    return Counter(" ".join(found.split()).casefold() for found in pattern.findall(plain))


def _script(text: str) -> str | None:
    """The script of most words, as in Unicode character names; None without letters."""
    names = Counter(
        unicodedata.name(word[0], "?").partition(" ")[0]
        for word in _WORD.findall(text)
        if word[0].isalpha()
    )
    return names.most_common(1)[0][0] if names else None
