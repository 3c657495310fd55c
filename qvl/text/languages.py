"""The language of a text, by py3langid, which is deterministic; None below a confidence.

It identified 93 of 93 sentences in the 31 languages of IFEval (tests/reward/verifiers/languages.jsonl) correctly;
of their first two words, 54 of 84 correctly and one wrongly. 400 characters take 0.1 ms.
Its confidence, normalised over 97 languages, was under 0.2 for formulas, names and numbers and over
0.55 for questions of four words in nine languages; between the two it is not reliable.

`rough_language` is for counting a stream, at a tenth of the time: by the letters of a script that is not Latin,
else by function words.
"""

import re
from collections import Counter
from functools import cache, lru_cache
from typing import Any

from qvl.errors import need
from qvl.text import function_words
from qvl.text.scripts import OTHER, SCRIPTS

MIN_CONFIDENCE = 0.5  # our choice, by the figures above
POSSIBLE = 0.1  # the least probability of a language that a text may be in: our choice
READ = 400  # characters of a part: more take longer and add nothing
VARIETIES = (  # which the model tells apart badly, or a reader hardly
    {"es", "an", "ext"},
    {"fr", "oc", "wa", "gcf", "gcr"},
    {"it", "la", "lij", "vec"},
    {"en", "pcm"},
    {"de", "lb"},
    {"no", "nn"},
    {"hr", "sr", "bs"},
    {"id", "ms"},
    {"mr", "gom", "sa"},
    {"zh", "wuu", "yue"},
    {"ar", "arz", "ary"},
    {"ku", "sdh"},
    {"uz", "uzs"},
    {"he", "hbo"},
    {"el", "grc"},
)
MAX_PARTS = 3  # of a longer text, each of READ characters: our choice
ROUGH_READ = 160  # characters: some 30 words, of which half are function words
LEAST_WORDS = 2  # function words of a language, and more than of any other
MIN_SCRIPT_SHARE = (
    0.15  # of the characters that are of another script; fewer are a name or a quotation
)
OWN = {"Han": "zh", "Kana": "ja", "Hangul": "ko", "Greek": "el", "Hebrew": "he", "Thai": "th"}
OWN |= {"Armenian": "hy", "Georgian": "ka", "Khmer": "km", "Lao": "lo", "Tibetan": "bo"}


def language_of(text: str, confidence: float = MIN_CONFIDENCE) -> str | None:
    """The ISO 639-1 code of the language in which a text begins; None if the confidence is lower."""
    return _classify(text[:READ], confidence)


def rough_language(text: str) -> str | None:
    """An ISO 639-1 code, or the name of a script in lower case; None for a text of formulas or names."""
    head = text[:ROUGH_READ]
    if not head.isascii() and (found := _by_script(head)):
        return found
    words = function_words.common().intersection(head.lower().split())
    if len(words) < LEAST_WORDS:
        return None
    table, hits = function_words.table(), dict[str, int]()
    most, best = 0, ""
    for word in words:
        for language in table[word]:
            hits[language] = count = hits.get(language, 0) + 1
            if count > most:
                most, best = count, language
            elif count == most:
                best = ""  # more than one language
    return best if best and most >= LEAST_WORDS else None


def _by_script(head: str) -> str | None:
    letters = OTHER.findall(head)
    if len(letters) < MIN_SCRIPT_SHARE * len(head):
        return None
    scripts = Counter(map(_script, letters))
    name = "Kana" if scripts["Kana"] * 5 >= len(letters) else scripts.most_common(1)[0][0]
    return OWN.get(name, name.lower())


@lru_cache(maxsize=16384)
def _script(letter: str) -> str:
    return next(name for name, pattern in _letters().items() if pattern.match(letter))


@cache
def _letters() -> dict[str, re.Pattern[str]]:
    return {name: re.compile(f"[{ranges}]") for name, ranges in SCRIPTS.items()}


def possible_languages(text: str, least: float = POSSIBLE) -> dict[str, float]:
    """The languages in which a text may begin, such as Portuguese and Galician for a short question, with
    their probabilities of at least `least`. Of VARIETIES the most probable one stands for all."""
    merged: dict[str, float] = {}
    for code, sure in _ranked(text[:READ]):
        other = next((each for each in merged if is_variety(code, each)), code)
        merged[other] = merged.get(other, 0.0) + sure
    return {code: sure for code, sure in merged.items() if sure >= least}


def is_variety(code: str, other: str) -> bool:
    """Whether two languages are one to most readers."""
    return code == other or any({code, other} <= group for group in VARIETIES)


def languages_in(text: str) -> set[str]:
    """The ISO 639-1 codes of the languages in up to MAX_PARTS parts of a text, spread evenly; a part below
    MIN_CONFIDENCE adds none."""
    count = min(MAX_PARTS, -(-len(text) // READ)) or 1
    last = max(0, len(text) - READ)
    starts = {last * number // max(1, count - 1) for number in range(count)}
    found = (_classify(text[start : start + READ], MIN_CONFIDENCE) for start in sorted(starts))
    return {code for code in found if code}


def _classify(part: str, confidence: float) -> str | None:
    code, sure = _ranked(part)[0]
    return code if sure >= confidence else None


@lru_cache(maxsize=8192)  # of parts, not of texts, which may be long
def _ranked(part: str) -> tuple[tuple[str, float], ...]:
    """The languages of a part, the most probable first, to a hundredth."""
    best, *others = _identifier().rank(part)
    return (best, *(each for each in others if each[1] >= 0.01))


@cache
def _identifier() -> Any:
    langid: Any = need("py3langid.langid")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
