"""Sentences in another language of the same script, by function words: Spanish in an English answer.

A sentence may be in a language if a quarter of its words are function words of it, and in any other that has half
as many distinct ones, unless these are all among those of the first, which has two more. A sentence of fewer than
MIN_WORDS words, or with fewer function words than MIN_HITS, is in none. This exists beside py3langid
(qvl.text.languages) for speed, and as the filters need no extra: of the 128 sentences with spaces in
tests/curate/labelled/texts_*.jsonl it gives 85 their language, 72 of them no other, and 0 a wrong one alone;
py3langid 112 of 113, in seven times the time.
"""

import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from struct import Struct
from typing import NamedTuple

from qvl.text import words
from qvl.text.prose import prose

SENTENCE = re.compile(r"[\n.!?;:؟]+|(?<=[\w,]) [-\u2013\u2014] ")
_LETTER = r"(?:[^\W\d_]|[\u0900-\u0963])"  # with the vowel signs of Devanagari, which are no letters to `re`
WORD = re.compile(rf"{_LETTER}+(?:['\u2019]{_LETTER}+)?")
MIN_WORDS = 6  # of a sentence; a shorter one may be a title or a name
MIN_HITS = 3  # function words, distinct
MIN_SHARE = 0.25  # of the words
MIN_RATIO = 2  # function words, to those of any other language
MIN_OWN = 2  # function words that the other language lacks, where it has none of its own: Spanish and Portuguese
MIN_DISTINCT = 2  # follows from the above: of 3 hits at least 2 are not in another language


class Foreign(NamedTuple):
    share: float  # words in sentences of another language, to all words
    sample: str


def foreign(query: str, text: str) -> Foreign:
    """The share of `text` in languages that the query does not use (without a query: other than its main one)."""
    own = languages(query)
    if not _may_hold(text, own):
        return Foreign(0.0, "")
    found: Counter[frozenset[str]] = Counter()
    samples: dict[frozenset[str], str] = {}
    total = 0
    for sentence in SENTENCE.split(prose(text)):
        tokens = WORD.findall(sentence.lower())
        total += len(tokens)
        candidates = _languages(tokens)
        if candidates:
            found[candidates] += len(tokens)
            samples.setdefault(candidates, sentence.strip())
    if not found:
        return Foreign(0.0, "")
    if not own:
        own = {_main(found)}
    others = {candidates: n for candidates, n in found.items() if not candidates & own}
    if not others:
        return Foreign(0.0, "")
    most = max(others, key=lambda candidates: others[candidates])
    return Foreign(sum(others.values()) / max(1, total), samples[most][:40])


def _main(found: Counter[frozenset[str]]) -> str:
    """The language that the most words may be in."""
    words_in: Counter[str] = Counter()
    for candidates, count in found.items():
        words_in.update(dict.fromkeys(sorted(candidates), count))
    return words_in.most_common(1)[0][0]


def _may_hold(text: str, own: frozenset[str]) -> bool:
    """Whether a sentence of the text can be foreign: a quick test by its distinct words."""
    found = _common() & words.vocabulary(text)
    if not found:
        return False
    lanes = _lanes()
    hits = lanes.counts(found)
    main = lanes.languages[hits.index(max(hits))]
    if own and main not in own:
        return True
    others = lanes.counts(found - _of(main))
    if max(others) < MIN_DISTINCT:
        return False
    pairs = zip(others, hits, strict=True)
    return any(n >= MIN_DISTINCT and hit >= MIN_HITS for n, hit in pairs)


class Lanes:
    """Counts the words of every language by one sum: of numbers with a 1 in the 16 bits of each language of a word.

    A tenth of the time of a Counter, which has an entry for each of some 30 languages.
    """

    def __init__(self, table: Mapping[str, tuple[str, ...]]) -> None:
        self.languages = sorted(
            {language for languages in table.values() for language in languages}
        )
        places = {language: 16 * place for place, language in enumerate(self.languages)}
        self._of = {word: sum(1 << places[one] for one in set(table[word])) for word in table}
        self._counts = Struct(f"<{len(self.languages)}H")

    def counts(self, words: Iterable[str]) -> tuple[int, ...]:
        """The number of words, fewer than 65,536 distinct ones of the table, in each of `languages`."""
        total = sum(map(self._of.__getitem__, words))
        return self._counts.unpack(total.to_bytes(self._counts.size, "little"))


@functools.cache
def _lanes() -> Lanes:
    return Lanes(_table())


def _counted(tokens: Iterable[str]) -> Counter[str]:
    """Language -> number of the function words that are of it."""
    return Counter(itertools.chain.from_iterable(map(_table().__getitem__, tokens)))


@functools.lru_cache(maxsize=4096)
def languages(query: str) -> frozenset[str]:
    """The languages that a query's sentences may be in, with those of its quotations."""
    sentences = (WORD.findall(one.lower()) for one in SENTENCE.split(query))
    return frozenset().union(*map(_languages, sentences))


def _languages(tokens: list[str]) -> frozenset[str]:
    """The languages that a sentence may be in: several near ones, such as Spanish and Catalan, or none."""
    if len(tokens) < MIN_WORDS:
        return frozenset()
    found = _common().intersection(tokens)
    if len(found) < MIN_HITS:
        return frozenset()
    hits = _counted(found)
    best = max(hits, key=hits.__getitem__)
    most = hits[best]
    if most < MIN_HITS or sum(map(_of(best).__contains__, tokens)) < MIN_SHARE * len(tokens):
        return frozenset()
    not_best = _counted(found - _of(best))
    return frozenset(
        language
        for language, n in hits.items()
        if language == best
        or not (most >= MIN_RATIO * n or (most - n >= MIN_OWN and not not_best[language]))
    )


def tells_apart(text: str, language: str, other: str) -> bool:
    """Whether a text has function words of `language` that `other` lacks, and none the other way round.
    False if we have no words of one of them."""
    table = _table()
    if not {language, other} <= _known():
        return False
    own, others = False, False
    for word in WORD.findall(text.lower()):
        languages = table.get(word, ())
        own |= language in languages and other not in languages
        others |= other in languages and language not in languages
    return own and not others


@functools.cache
def _known() -> frozenset[str]:
    return frozenset(language for languages in _table().values() for language in languages)


@functools.cache
def _of(language: str) -> frozenset[str]:
    """The function words of a language."""
    return frozenset(word for word, languages in _table().items() if language in languages)


def common() -> frozenset[str]:
    """The function words of all languages."""
    return _common()


def table() -> Mapping[str, tuple[str, ...]]:
    """Function word -> its languages."""
    return _table()


@functools.cache
def _common() -> frozenset[str]:
    return frozenset(_table())


@functools.cache
def _table() -> dict[str, tuple[str, ...]]:
    """Function word -> its languages."""
    table: dict[str, tuple[str, ...]] = {}
    for line in words.lines("function_words"):
        language, _, common = line.partition(":")
        for word in common.split():
            table[word] = (*table.get(word, ()), language)
    return table
