"""Languages that share a script, told by their commonest words: Spanish in an English answer.

A sentence of which a quarter are the function words of one language, and far fewer those of any
other, is in that language; a shorter or a mixed one is in none. No library is needed:
of the 113 sentences of tests/curate/labelled in languages with spaces these words tell 69, all right, at 11
us each; py3langid tells all, at 70 us, and lingua at 1.4 ms, but what mixing is missed has other causes.
"""

import functools
import re
from collections import Counter
from collections.abc import Set
from typing import NamedTuple

from qvl.text import words
from qvl.text.scripts import prose

SENTENCE = re.compile(r"[\n.!?;:؟]+|(?<=[\w,]) [-\u2013\u2014] ")
WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
FEWEST_WORDS = 6  # of a sentence; a shorter one may be a title or a name
FEWEST_HITS = 3  # function words, distinct
LEAST_SHARE = 0.25  # of the words
CLEARLY = 2  # times as many as of any other language
FEWEST_APART = 2  # which follows: of 3 hits at most 1 is also in a language with half as many


class Foreign(NamedTuple):
    share: float  # of the words in sentences that are in another language
    sample: str


def foreign(asked: str, text: str) -> Foreign:
    """How much of `text` is in a language other than that of the query, else of most of the text."""
    own = languages(asked)
    if not _may_hold(text, own):
        return Foreign(0.0, "")
    found: Counter[str] = Counter()
    samples: dict[str, str] = {}
    total = 0
    for sentence in SENTENCE.split(prose(text)):
        tokens = WORD.findall(sentence.lower())
        total += len(tokens)
        language = _language(tokens)
        if language:
            found[language] += len(tokens)
            samples.setdefault(language, sentence.strip())
    if not found:
        return Foreign(0.0, "")
    if not own:
        own = {found.most_common(1)[0][0]}
    others = {language: n for language, n in found.items() if language not in own}
    if not others:
        return Foreign(0.0, "")
    most = max(others, key=lambda language: others[language])
    return Foreign(sum(others.values()) / max(1, total), samples[most][:40])


def _may_hold(text: str, own: frozenset[str]) -> bool:
    """Whether a sentence of the text can be foreign: _language needs words that its main one lacks."""
    table = _table()
    hits = _hits(words.vocabulary(text))
    if not hits:
        return False
    main = max(hits, key=lambda language: hits[language])
    if own and main not in own:
        return True
    apart: Counter[str] = Counter()
    for token in words.vocabulary(text) & table.keys():
        if main not in table[token]:
            apart.update(table[token])
    return any(count >= FEWEST_APART for count in apart.values())


def _hits(tokens: Set[str]) -> dict[str, int]:
    """Language -> how many of the distinct tokens are common in it."""
    table = _table()
    hits: dict[str, int] = {}
    for token in tokens & table.keys():
        for language in table[token]:
            hits[language] = hits.get(language, 0) + 1
    return hits


@functools.lru_cache(maxsize=4096)
def languages(asked: str) -> frozenset[str]:
    """Those that a query is in, its quotations included."""
    sentences = (WORD.findall(one.lower()) for one in SENTENCE.split(asked))
    return frozenset(filter(None, map(_language, sentences)))


def _language(tokens: list[str]) -> str:
    """The language of a sentence, or ""."""
    if len(tokens) < FEWEST_WORDS:
        return ""
    hits = _hits(set(tokens))
    if not hits:
        return ""
    best = max(hits, key=lambda language: hits[language])
    most = hits.pop(best)
    if most < FEWEST_HITS or most < CLEARLY * max(hits.values(), default=0):
        return ""
    table = _table()
    spoken = sum(best in table.get(token, ()) for token in tokens)
    return best if spoken >= LEAST_SHARE * len(tokens) else ""


def common() -> Set[str]:
    """The commonest words of all languages."""
    return _table().keys()


@functools.cache
def _table() -> dict[str, tuple[str, ...]]:
    """Word -> the languages in which it is common."""
    table: dict[str, tuple[str, ...]] = {}
    for line in words.lines("function_words"):
        language, _, common = line.partition(":")
        for word in common.split():
            table[word] = (*table.get(word, ()), language)
    return table
