"""Constraints of IFBench (arXiv 2507.02833) on words, letters and marks.

A word is what stands between spaces, without punctuation. A text without words keeps none of them.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from string import ascii_lowercase
from typing import Any

from qvl.reward.verifiers.instruction.constraints import arguments
from qvl.reward.verifiers.instruction.constraints.length import spans

Check = Callable[[str], bool]
Arguments = Mapping[str, Any]

_NOT_IN_WORDS = re.compile(r"[^\w\s]|_")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?!\w)")
_CLUSTER = re.compile(r"[bcdfghjklmnpqrstvwxyz]{2}", re.IGNORECASE)
_TIMES = {"keyword1": 1, "keyword2": 2, "keyword3": 3, "keyword4": 5, "keyword5": 7}
_PALINDROMES, _PALINDROME_LETTERS = 10, 5
_VOWELS = 3


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return _NOT_IN_WORDS.sub("", text.lower()).split()


def word_count_range(given: Arguments) -> Check:
    """From `min_words` to `max_words` words."""
    least, most = arguments.number(given, "min_words"), arguments.number(given, "max_words")
    return lambda text: least <= len(words(text)) <= most


def unique_word_count(given: Arguments) -> Check:
    """At least `N` different words."""
    least = arguments.number(given, "N")
    return lambda text: len(set(words(text))) >= least


def numbers(given: Arguments) -> Check:
    """Exactly `N` numbers in digits; 1,234.5 is one."""
    wanted = arguments.number(given, "N")
    return lambda text: len(_NUMBER.findall(text)) == wanted


def punctuation(_: Arguments) -> Check:
    """Each of . , ! ? ; : and the interrobang, which is none of the others."""

    def check(text: str) -> bool:
        rest, found = re.subn(r"\?!|!\?|‽", "", text, count=1)
        return found == 1 and set(".,!?;:") <= set(rest)

    return check


def keywords_multiple(given: Arguments) -> Check:
    """keyword1 to keyword5 exactly 1, 2, 3, 5 and 7 times."""
    wanted = {name: arguments.text(given, name).strip().lower() for name in _TIMES}
    return lambda text: all(
        len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text.lower())) == _TIMES[name]
        for name, word in wanted.items()
    )


def keyword_position(given: Arguments) -> Check:
    """`keyword` is word number `m` of sentence number `n`."""
    keyword = arguments.text(given, "keyword").strip().lower()
    sentence, place = arguments.number(given, "n", 1), arguments.number(given, "m", 1)

    def check(text: str) -> bool:
        found = spans(text)
        inside = words(found[sentence - 1]) if len(found) >= sentence else []
        return len(inside) >= place and inside[place - 1] == keyword

    return check


def alphabet(_: Arguments) -> Check:
    """Each word begins with the next letter of the alphabet; a follows z."""

    def check(text: str) -> bool:
        letters = [word[0] for word in words(text)]
        return (
            bool(letters)
            and set(letters) <= set(ascii_lowercase)
            and all((ord(b) - ord(a)) % 26 == 1 for a, b in pairwise(letters))
        )

    return check


def no_consecutive(_: Arguments) -> Check:
    """No two words that follow each other begin with the same letter."""
    return lambda text: bool(words(text)) and all(a[0] != b[0] for a, b in pairwise(words(text)))


def prime_lengths(_: Arguments) -> Check:
    """The length of each word is a prime number."""
    return lambda text: bool(words(text)) and all(_is_prime(len(word)) for word in words(text))


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % factor for factor in range(2, int(number**0.5) + 1))


def repeats(given: Arguments) -> Check:
    """No word more than `small_n` times."""
    most = arguments.number(given, "small_n")
    return lambda text: bool(words(text)) and max(Counter(words(text)).values()) <= most


def palindromes(_: Arguments) -> Check:
    """At least 10 words of 5 letters or more that read the same backwards."""
    return lambda text: (
        sum(len(word) >= _PALINDROME_LETTERS and word == word[::-1] for word in words(text))
        >= _PALINDROMES
    )


def consonants(_: Arguments) -> Check:
    """Each word has two consonants beside each other."""
    return lambda text: bool(words(text)) and all(map(_CLUSTER.search, words(text)))


def vowels(_: Arguments) -> Check:
    """One paragraph with at most three different vowels."""
    return lambda text: (
        "\n" not in text.strip() and len(set(text.lower()) & set("aeiou")) <= _VOWELS
    )


def last_first(_: Arguments) -> Check:
    """Each sentence begins with the last word of the one before."""
    return lambda text: all(
        bool(a and b) and a[-1] == b[0] for a, b in pairwise(words(each) for each in spans(text))
    )


def paragraph_last_first(_: Arguments) -> Check:
    """Each paragraph, a line, ends with the word that it begins with."""
    return lambda text: all(
        found[0] == found[-1] for line in text.split("\n") if (found := words(line))
    )


def increment(given: Arguments) -> Check:
    """Each sentence has exactly `small_n` words more than the one before."""
    more = arguments.number(given, "small_n")
    return lambda text: all(
        b - a == more for a, b in pairwise(len(words(each)) for each in spans(text))
    )
