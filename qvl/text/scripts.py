"""Language mixing by scripts: how much of an answer is in a script that the query does not use.

It finds Han in an answer to an English query, and an English phrase in an answer to a Chinese one; for
languages of one script see qvl.text.function_words. Code, formulas, addresses, quotations and glosses in
brackets do not count, nor do names and terms: in a text of another script, Latin words without an English
function word among them.
"""

import functools
import re
from collections.abc import Iterator

from qvl.text import words
from qvl.text.prose import prose

SCRIPTS = {  # name -> ranges of letters and marks; digits and dandas belong to several scripts
    "Han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufa6d\ufa70-\ufad9",
    "Kana": "\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff",
    "Hangul": "\u1100-\u11ff\uac00-\ud7a3",
    "Cyrillic": "\u0400-\u0481\u0483-\u052f",
    "Greek": "\u0386\u0388-\u03f5\u03f7-\u03ff\u1f00-\u1fbc",
    "Armenian": "\u0531-\u0556\u0560-\u0588",
    "Hebrew": "\u05d0-\u05ea",
    "Arabic": "\u0620-\u064a\u066e-\u06d3\u0750-\u077f",
    "Devanagari": "\u0900-\u0963\u0971-\u097f",
    "Bengali": "\u0980-\u09e3\u09f0\u09f1",
    "Gurmukhi": "\u0a01-\u0a5e\u0a70-\u0a75",
    "Gujarati": "\u0a81-\u0ae3\u0af9-\u0aff",
    "Odia": "\u0b01-\u0b63\u0b71",
    "Tamil": "\u0b82-\u0bd7",
    "Telugu": "\u0c00-\u0c63",
    "Kannada": "\u0c80-\u0c83\u0c85-\u0ce3",
    "Malayalam": "\u0d00-\u0d4e\u0d54-\u0d57\u0d5f-\u0d63\u0d7a-\u0d7f",
    "Sinhala": "\u0d81-\u0ddf",
    "Thai": "\u0e01-\u0e3a\u0e40-\u0e4e",
    "Lao": "\u0e81-\u0ecd\u0edc-\u0edf",
    "Tibetan": "\u0f00\u0f40-\u0f84",
    "Myanmar": "\u1000-\u103f\u1050-\u108f",
    "Georgian": "\u10a0-\u10fa\u10fc-\u10ff",
    "Ethiopic": "\u1200-\u135a",
    "Khmer": "\u1780-\u17d3",
}
LEAST = {"Greek": 4}  # letters of a word; fewer are in formulas
WEIGHT = {"Han": 1.5, "Kana": 2.0, "Hangul": 2.5}  # characters per word; else LETTERS
LETTERS = 5.0
COMPANIONS = {"Kana": ("Han",), "Hangul": ("Han",)}  # scripts that are written together
RUNS = {
    name: re.compile(f"[{ranges}]{{{LEAST.get(name, 1)},}}") for name, ranges in SCRIPTS.items()
}
OTHER = re.compile("[" + "".join(SCRIPTS.values()) + "]")
_LATIN = r"A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"  # without the signs of times and division
LATIN = re.compile(f"[{_LATIN}]")
LATIN_RUN = re.compile(rf"[{_LATIN}'\u2019]+(?:[ ,-]+[{_LATIN}'\u2019]+)*")
LATIN_WORD = re.compile(f"[{_LATIN}]+")


def num_words(text: str) -> float:
    """The estimated number of words of prose; in scripts other than Latin by the number of letters."""
    return sum(words for _, words, _ in _runs(prose(text)))


def is_written(text: str, script: str) -> bool:
    """Whether anything in a text is in a script of SCRIPTS."""
    return RUNS[script].search(text) is not None


def is_japanese(text: str) -> bool:
    """Whether the Han in a text is Japanese: at least a fifth of Han and kana is kana."""
    kana, han = (sum(map(len, RUNS[name].findall(text))) for name in ("Kana", "Han"))
    return kana > 0 and kana >= 0.2 * (kana + han)


def mixture(query: str, text: str, *, may_quote: bool = False) -> tuple[float, str]:
    """The share of the answer's words in scripts that the query does not use, and a sample of them.

    `may_quote`: the answer may quote text in an image. Then it counts as mixed only if it has phrases in
    both scripts, at least two in the foreign one; a phrase has a function word.
    """
    if text.isascii() and query.isascii():
        return 0.0, ""
    allowed = _scripts(query)
    if not allowed:
        return 0.0, ""
    total, foreign = 0.0, 0.0
    runs, phrases = [], {True: 0, False: 0}
    if not (may_quote or _others(allowed).search(text) or ("Kana" in allowed and _chinese(text))):
        return 0.0, ""  # most texts: nothing needs to be counted
    if "Kana" in allowed and not may_quote:
        runs = _chinese(prose(text))
        han = sum(len(run) for sentence in runs for run in RUNS["Han"].findall(sentence))
        foreign = han / WEIGHT["Han"]
    for script, units, run in _runs(prose(text)):
        own = script in allowed or script == "name"
        total += units
        if not own:
            foreign += units
            runs.append(run)
        if may_quote and (script == "Latin" or words.patterns("particles").find(run)):
            phrases[own] += 1
    if not runs or (may_quote and (phrases[False] < 2 or not phrases[True])):
        return 0.0, ""
    return min(1.0, foreign / total), " ".join(runs)[:40]  # 1 + 2e-16 by rounding


@functools.cache
def _others(allowed: frozenset[str]) -> re.Pattern[str]:
    """A letter of a script that is not among `allowed`."""
    ranges = [ranges for name, ranges in SCRIPTS.items() if name not in allowed]
    return re.compile("[" + "".join([*ranges, *([] if "Latin" in allowed else [_LATIN])]) + "]")


def _chinese(body: str) -> list[str]:
    """The Chinese sentences of a Japanese text: with Chinese particles and no kana."""
    if not PARTICLE.search(body):
        return []
    return [
        sentence
        for sentence in CJK_SENTENCE.split(body)
        if len(sentence) >= 8 and PARTICLE.search(sentence) and not RUNS["Kana"].search(sentence)
    ]


CJK_SENTENCE = re.compile(r"[。！？\n]")
PARTICLE = re.compile(r"[的是了们这在把和]")


@functools.lru_cache(maxsize=4096)
def _scripts(query: str) -> frozenset[str]:
    """The scripts of a query and their COMPANIONS; Latin beside another script only if there is a phrase in it."""
    found: set[str] = set()
    if OTHER.search(query):
        found |= {name for name, pattern in RUNS.items() if pattern.search(query)}
    found |= {other for name in found for other in COMPANIONS.get(name, ())}
    if LATIN.search(query) and (not found or _phrases(prose(query))):
        found.add("Latin")
    return frozenset(found)


def _runs(body: str) -> Iterator[tuple[str, float, str]]:
    """(script, words, run) of each run of letters; the script of Latin names and terms is "name"."""
    if OTHER.search(body):
        for name, pattern in RUNS.items():
            for run in pattern.findall(body):
                yield name, len(run) / WEIGHT.get(name, LETTERS), run
    for run in LATIN_RUN.findall(body):
        count = len(LATIN_WORD.findall(run))
        yield ("Latin" if _is_phrase(run) else "name"), float(count), run


def _phrases(body: str) -> bool:
    return any(map(_is_phrase, LATIN_RUN.findall(body)))


def _is_phrase(run: str) -> bool:
    """Whether a run has a function word; "a" and "I", which may be variables, need a run of five words."""
    found = _function_words().intersection(run.split())
    return any(len(word) > 1 for word in found) or (bool(found) and len(set(run.split())) >= 5)


@functools.cache
def _function_words() -> frozenset[str]:
    return frozenset(word for line in words.lines("latin") for word in line.split())
