"""Yes or no: the final answer says the reference, and not its opposite.

The reward is 1 if it does, else 0. The reference is yes or no, true or false, 1 or 0. What counts is a yes or
no that stands for itself ("No, there are two.", "The answer is yes"), not the word in "no doubt". An answer
that says both, or neither, has chosen none. English and Chinese.
"""

import re
from functools import lru_cache

from qvl.reward import Unverifiable, reference
from qvl.reward.reading.extract import final

MAX_CHARACTERS = 2000  # of a final answer; a longer one scores 0: our choice
_REFERENCES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_REFERENCES |= {"是": True, "对": True, "否": False, "不是": False, "不对": False}
_SAID = re.compile(
    r"\b(?:(yes)|no)\b(?=[\s\"'”’*)\]}]*(?:[.,;:!/|&，。；！]|-|–|—|$|\b(?:and|or|because|since|as|it|there|they|the)\b))"
    r"|(?:(?<![不否\w])(是的|是|对)|不是|不对|否)(?=\W|$|因为)",
    re.IGNORECASE,
)


def score(record: dict, response: dict) -> float:
    """1 if the final answer says the reference, else 0."""
    given = reference(record)
    gold = _REFERENCES.get(str(given).strip().rstrip(".").casefold())
    if gold is None:
        raise Unverifiable(f"answer: expected yes or no, got {given!r}"[:200])
    return float(_said(final(response)) == gold)


def extract(response: dict) -> str | None:
    """yes or no; None if the response says neither, or both."""
    found = _said(final(response))
    return None if found is None else ("yes" if found else "no")


@lru_cache(1 << 12)
def _said(text: str) -> bool | None:
    if len(text) > MAX_CHARACTERS:
        return None
    found = {bool(each[1] or each[2]) for each in _SAID.finditer(text)}
    return found.pop() if len(found) == 1 else None
