"""A guard over rewritten questions: the smallest change keeps the sense, another one is refused.

Compared are what a question must not lose or gain: numbers, negations, quotations, code, formulas,
addresses, answer options, the script it is written in; and how much of its text is still there.
"""

import re
import unicodedata
from collections import Counter

from qvl.errors import need

MIN_SIMILARITY = 0.5  # of the texts, by insertions and deletions: our choice
KEPT = {  # what must be there as often as before, by how it is called
    "number": re.compile(r"\d+(?:[.,:/]\d+)*"),
    "negation": re.compile(
        r"\b(?:not|no|never|none|neither|nor|without|except|cannot)\b|n['\u2019]t\b"
        r"|\u4e0d|\u6ca1|\u65e0|\u975e|\u672a|\u9664\u4e86"
        r"|\b(?:kein\w*|nicht|ohne|pas|sans|jamais|nunca|sin|nie|senza|non|n\u00e3o|sem)\b",
        re.IGNORECASE,
    ),
    "formula": re.compile(r"\$[^$]+\$|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL),
    "code": re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL),
    "quotation": re.compile(r"\"[^\"\n]+\"|\u201c[^\u201d\n]+\u201d|\u300c[^\u300d\n]+\u300d"),
    "address": re.compile(r"(?:https?://|www\.)\S+"),
    "answer option": re.compile(r"^\s*\(?[A-Ja-j][.):]\s.*$|\([A-J]\)", re.MULTILINE),
    "placeholder": re.compile(r"<(?:image|video|img)\b[^>]*>", re.IGNORECASE),
}


def refusal(original: str, revision: str, min_similarity: float = MIN_SIMILARITY) -> str | None:
    """Why a revision may mean something else; None where nothing speaks against it."""
    if not revision.strip():
        return "it is empty"
    for name, pattern in KEPT.items():
        before, after = (_counted(pattern, text) for text in (original, revision))
        if before != after:
            found = next(iter((before - after) or (after - before)))
            did = "loses" if before - after else "adds"
            return f"it {did} the {name} {found[:40]!r}"
    before, after = _script(original), _script(revision)
    if before and after and before != after:
        return f"it is written in {after.title()}, not in {before.title()}"
    similarity = need("rapidfuzz.fuzz", extra="reward").ratio(original, revision) / 100
    if similarity < min_similarity:
        return f"{similarity:.2f} of the text is left, under {min_similarity:g}"
    return None


def _counted(pattern: re.Pattern[str], text: str) -> Counter[str]:
    return Counter(" ".join(found.split()).casefold() for found in pattern.findall(text))


def _script(text: str) -> str | None:
    """The script of most letters, by its name in Unicode; None without letters."""
    names = Counter(
        unicodedata.name(letter, "?").partition(" ")[0] for letter in text if letter.isalpha()
    )
    return names.most_common(1)[0][0] if names else None
