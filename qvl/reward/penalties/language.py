"""The penalty for a response in another language than its prompt (report 4.4.1).

The report gives no formula. Ours follows DeepSeek-R1's language consistency reward (arXiv 2501.12948,
equation 7): minus the share of words in another language, and -1 from a share of 0.5. The language of a
word is detected as in the rule language-mixing of qvl-filter-responses(1): by its script, and within one
script by the most common words of the sentence. A text whose words all seem to be of the prompt's language is
classified as a whole (qvl.text.languages): near languages, such as Spanish and Portuguese, are told apart if the
prompt can only be in one of them. Code, formulas, addresses, tags, quotations, glosses in
brackets, names in another script and very short texts are not counted.

If the prompt requests a language, the response must be in that one. If it is about languages, the
response may be in any.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from qvl.reward.penalties import NONE, Penalty
from qvl.text import answers, mixing, scripts
from qvl.text.asked_for import AskedFor
from qvl.text.function_words import tells_apart
from qvl.text.languages import is_variety, possible_languages
from qvl.text.prose import prose

MIN_WORDS = 4.0  # of a text; a shorter one may be a name or a term: our choice
MAX_SHARE = 0.5  # of words in another language; from here on the penalty is -1
MIN_DETECTED_WORDS = 8.0  # of a text whose language is detected as a whole: our choice
MIN_CONFIDENCE = 0.9  # of that detection: our choice
MIN_QUESTION_CONFIDENCE = (
    0.7  # of all the languages together that the question may be in: our choice
)
BY_SCRIPT = {"zh", "ja"}  # told apart by their scripts, not by py3langid


def penalty(record: dict, response: dict) -> Penalty:
    """The penalty from -1 to 0: that of the final answer or of the thinking, whichever is worse."""
    known, answer = AskedFor(record), answers.of_response(response)
    expected = _expected(known)
    if expected is None:
        return NONE
    quotes = known.may_quote and expected == known.query
    worst = NONE
    for name, part in (("answer", answer.content), ("thinking", answer.reasoning)):
        share, detail = _other(expected, part, quotes=quotes)
        if -share < worst.value:
            worst = Penalty(-share, f"{name}: {detail}")
    return worst


def _expected(known: AskedFor) -> str | None:
    """A text in the language that the answer must be in; None if it may be in any."""
    requested = requested_languages(known.query)
    if len(requested) == 1:
        (code,) = requested
        return _table().samples[code]
    if requested or known.may_mix or scripts.num_words(known.query) < 1:
        return None
    return known.query


def _other(expected: str, part: str, *, quotes: bool) -> tuple[float, str]:
    """The share of `part` in another language than `expected`, from 0 to 1, and a description."""
    if scripts.num_words(part) < MIN_WORDS:
        return 0.0, ""
    share, detail = mixing.excess(expected, part, may_quote=quotes)
    whole = "" if quotes else _whole(expected, part, mixed=bool(detail))
    if whole or share >= MAX_SHARE:
        return 1.0, detail or whole
    return share, detail


def _whole(expected: str, part: str, *, mixed: bool) -> str:
    """How a whole text is in another language; "" if it is not, or if that is uncertain."""
    body = prose(part)
    if scripts.is_japanese(body) and not scripts.is_japanese(expected):
        return "it is Japanese"
    expects_hangul, has_hangul = (scripts.is_written(text, "Hangul") for text in (expected, body))
    # Korean text may contain Han, but not Han alone.
    if expects_hangul and not has_hangul and scripts.is_written(body, "Han"):
        return "it has no Hangul"
    if not mixed and scripts.num_words(part) < MIN_DETECTED_WORDS:
        return ""
    question = prose(expected)
    wanted = possible_languages(question)
    found = next(iter(possible_languages(body, MIN_CONFIDENCE)), "")
    if not found or sum(wanted.values()) < MIN_QUESTION_CONFIDENCE:
        return ""
    if any(_suits(found, each, wanted, question) for each in wanted):
        return ""
    return f"it is {found!r}, not {' or '.join(map(repr, wanted))}"


def _suits(found: str, wanted: str, others: Iterable[str], question: str) -> bool:
    """Whether an answer in the language `found` suits a question that may be in `wanted`, or in `others`."""
    if {found, wanted} <= BY_SCRIPT:
        return True
    if not is_variety(found, wanted):
        return False
    return not any(tells_apart(question, other, wanted) for other in others if other != wanted)


SENTENCE_END = re.compile(r"[.?!\n]")


@dataclass(frozen=True)
class _Table:
    """asked_languages.json, compiled."""

    requests: list[re.Pattern[str]]
    """Patterns of a request for a language, whose group 1 is its name."""
    another: re.Pattern[str]
    """The pattern of a further language in a request."""
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
def requested_languages(prompt: str) -> frozenset[str]:
    """The ISO 639-1 codes of the languages that a prompt requests an answer in."""
    table, lowered = _table(), prompt.lower()
    if not any(name in lowered for name in table.codes):
        return frozenset()
    found = set()
    for request in table.requests:
        for match in request.finditer(lowered):
            found.add(table.codes[match[1]])
            rest = SENTENCE_END.split(lowered[match.end() :], maxsplit=1)[0]  # "and in Spanish"
            found |= {table.codes[each[1]] for each in table.another.finditer(rest)}
    return frozenset(found)
