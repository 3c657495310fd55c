"""Languages that share a script, told by their commonest words: Spanish in an English answer.

A sentence of which a quarter are the function words of one language, and far fewer those of any
other, is in that language; a shorter or a mixed one is in none. No library is needed, and none of
short texts is as sure (tests/bench/bench_filter_quality.py measures it).
"""

import functools
import re
from collections import Counter
from typing import NamedTuple

from qvl.curate import words
from qvl.curate.scripts import prose

SENTENCE = re.compile(r"[\n.!?;:\u061f]+|(?<=[\w,]) [-\u2013\u2014] ")
WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
FEWEST_WORDS = 6  # of a sentence; a shorter one may be a title or a name
FEWEST_HITS = 3  # function words, distinct
LEAST_SHARE = 0.25  # of the words
CLEARLY = 2  # times as many as of any other language


class Foreign(NamedTuple):
    share: float  # of the words in sentences that are in another language
    sample: str


def foreign(asked: str, text: str) -> Foreign:
    """How much of `text` is in a language other than that of the query, else of most of the text."""
    if not _may_hold(text):
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
    own = languages(asked)
    if not own:
        own = {found.most_common(1)[0][0]}
    others = {language: n for language, n in found.items() if language not in own}
    if not others:
        return Foreign(0.0, "")
    most = max(others, key=lambda language: others[language])
    return Foreign(sum(others.values()) / max(1, total), samples[most][:40])


def _may_hold(text: str) -> bool:
    """Whether two languages have the fewest words in the text as a whole."""
    table = _table()
    hits: Counter[str] = Counter()
    for token in words.vocabulary(text) & table.keys():
        hits.update(table[token])
    return sum(n >= FEWEST_HITS for n in hits.values()) > 1


@functools.lru_cache(maxsize=4096)
def languages(asked: str) -> frozenset[str]:
    """Those that a query is in, its quotations included."""
    sentences = (WORD.findall(one.lower()) for one in SENTENCE.split(asked))
    return frozenset(filter(None, (_language(tokens, query=True) for tokens in sentences)))


def _language(tokens: list[str], *, query: bool = False) -> str:
    """The language of a sentence, or ""; of a query two words tell it."""
    if len(tokens) < (3 if query else FEWEST_WORDS):
        return ""
    table = _table()
    hits: Counter[str] = Counter()
    for token in set(tokens):
        for language in table.get(token, ()):
            hits[language] += 1
    if not hits:
        return ""
    (best, most), *rest = hits.most_common(2)
    if most < (2 if query else FEWEST_HITS) or (rest and most < CLEARLY * rest[0][1]):
        return ""
    spoken = sum(best in table.get(token, ()) for token in tokens)
    return best if spoken >= LEAST_SHARE * len(tokens) else ""


@functools.cache
def _table() -> dict[str, tuple[str, ...]]:
    """Word -> the languages in which it is common."""
    table: dict[str, tuple[str, ...]] = {}
    for line in words.lines("function_words"):
        language, _, common = line.partition(":")
        for word in common.split():
            table[word] = (*table.get(word, ()), language)
    return table
