"""The penalty where a response is not in the language of its prompt (report 4.4.1).

The report gives no formula. Ours, after DeepSeek-R1's language consistency reward (arXiv 2501.12948,
equation 7): minus the share of words in another language, and -1 where most are. Which language a
word is in is told as by the rule language-mixing of qvl-filter-responses(1): by its script, and within
one by the commonest words of a sentence. Code, formulas, addresses, tags, quotations, glosses in
brackets and names in another script count for nothing, nor does a text of a few words.

A prompt that asks for a language wants that one; one that is about languages wants none in particular.
"""

import json
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from qvl.reward.penalties import NONE, Penalty
from qvl.text import answers, mixing, scripts
from qvl.text.asked_for import AskedFor
from qvl.text.languages import language_of

FEWEST_WORDS = 4.0  # of a text; less may be a name or a term: our choice
MOST = 0.5  # of the words: from here on it is not in the language at all
FEWEST_SURE = 8.0  # words, for a text to be of another language as a whole: our choice
SURE = 0.9  # its language is told with so much confidence: our choice
NEAR = (  # languages that a short text does not tell apart
    ["es", "gl", "pt", "ca", "an", "ast"],
    ["fr", "oc", "wa"],
    ["it", "co", "la"],
    ["da", "no", "nb", "nn", "sv"],
    ["hr", "sr", "bs", "sl", "mk", "bg", "ru", "uk", "be"],
    ["id", "ms", "jv"],
    ["cs", "sk", "pl"],
    ["nl", "af", "de", "lb"],
    ["zh", "ja", "wuu", "yue"],
    ["hi", "mr", "ne"],
    ["ar", "arz", "fa", "ur", "ps", "ug"],
    ["en", "sco"],
)


def penalty(record: dict, response: dict) -> Penalty:
    """From -1 to 0, of the final answer or of the thinking, whichever is worse."""
    known, answer = AskedFor(record), answers.of_response(response)
    expected = _expected(known)
    if expected is None:
        return NONE
    quotes = known.may_quote and expected == known.query
    worst = NONE
    for name, part in (("answer", answer.content), ("thinking", answer.reasoning)):
        share, told = _other(expected, part, quotes=quotes)
        if -share < worst.value:
            worst = Penalty(-share, f"{name}: {told}")
    return worst


def _expected(known: AskedFor) -> str | None:
    """A text in the language that the answer is to be in; None where that is open."""
    wanted = asked_for(known.query)
    if len(wanted) == 1:
        (code,) = wanted
        return _table().samples[code]
    if wanted or known.may_mix or scripts.num_words(known.query) < 1:
        return None
    return known.query


def _other(expected: str, part: str, *, quotes: bool) -> tuple[float, str]:
    """How much of `part` is in another language than `expected`, from 0 to 1, and what."""
    if scripts.num_words(part) < FEWEST_WORDS:
        return 0.0, ""
    share, told = mixing.excess(expected, part, may_quote=quotes)
    whole = "" if quotes else _whole(expected, part, mixed=bool(told))
    if whole or share >= MOST:
        return 1.0, told or whole
    return share, told


def _whole(expected: str, part: str, *, mixed: bool) -> str:
    """Why a text as a whole is in another language; "" where it is not, or one cannot tell."""
    body = scripts.prose(part)
    if scripts.is_japanese(body) and not scripts.is_japanese(expected):
        return "it is Japanese"
    korean, theirs = (scripts.is_written(text, "Hangul") for text in (expected, body))
    if korean and not theirs and scripts.is_written(body, "Han"):  # which Korean may hold
        return "it has no Hangul"
    if not mixed and scripts.num_words(part) < FEWEST_SURE:
        return ""
    own, theirs = language_of(scripts.prose(expected)), language_of(body, SURE)
    if not own or not theirs or any(own in group and theirs in group for group in NEAR):
        return ""
    return f"it is {theirs!r}, not {own!r}" if own != theirs else ""


SENTENCE_END = re.compile(r"[.?!\n]")


@dataclass(frozen=True)
class _Table:
    requests: list[re.Pattern[str]]
    another: re.Pattern[str]
    """A further language of a request."""
    codes: dict[str, str]
    """A language's name in some language -> its code."""
    samples: dict[str, str]
    """A code -> a sentence in that language."""


@cache
def _table() -> _Table:
    data = json.loads((Path(__file__).parent / "asked_languages.json").read_text(encoding="utf-8"))
    codes = {name: code for code, names in data["names"].items() for name in names}
    any_name = "|".join(map(re.escape, sorted(codes, key=len, reverse=True)))
    requests = [re.compile(line.replace("{}", any_name), re.MULTILINE) for line in data["requests"]]
    another = re.compile(rf"\b(?:and|or|then|und|et|y|e)\s+(?:\w+\s+)?({any_name})\b")
    return _Table(requests, another, codes, data["samples"])


@lru_cache(maxsize=4096)
def asked_for(asked: str) -> frozenset[str]:
    """The languages that a prompt asks an answer in, by their ISO 639-1 codes."""
    table, lowered = _table(), asked.lower()
    if not any(name in lowered for name in table.codes):
        return frozenset()
    found = set()
    for request in table.requests:
        for match in request.finditer(lowered):
            found.add(table.codes[match[1]])
            rest = SENTENCE_END.split(lowered[match.end() :], maxsplit=1)[0]  # "and in Spanish"
            found |= {table.codes[each[1]] for each in table.another.finditer(rest)}
    return frozenset(found)
