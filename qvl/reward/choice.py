"""The letter of a multiple choice."""

import re
from functools import lru_cache

from qvl.reward import Unverifiable, reference
from qvl.reward.extract import final

_ALONE = re.compile(r"^\W*([A-Z])\W*$")
_NAMED = re.compile(r"(?i:\b(?:answer|option|choice)\b(?:\s+is)?)\s*:?\s*\(?\b([A-Z])\b")
_LEADING = re.compile(r"^\W*([A-Z])\s*[.):]")


def score(record: dict, response: dict) -> float:
    """1 where the response names the reference's letter, and no other one as well."""
    gold = letter(str(reference(record)))
    if gold is None:
        raise Unverifiable(f"a letter is expected as answer, not {record['answer']!r}"[:200])
    return float(extract(response) == gold)


def extract(response: dict) -> str | None:
    """The letter of the final answer."""
    return letter(final(response))


@lru_cache(maxsize=1 << 12)
def letter(text: str) -> str | None:
    """The one letter that a text chooses; None for none or several."""
    for pattern in (_ALONE, _NAMED, _LEADING):
        found = set(pattern.findall(text))
        if found:
            return found.pop() if len(found) == 1 else None
    return None
