"""OCR: the similarity of the text that was read to the reference, by edit distance (ANLS of one answer).

    reward = max over references of 1 - NL if NL < 0.5 else 0,   NL = Levenshtein / the longer length

(Biten et al. 2019, Scene Text Visual Question Answering, ICCV, arXiv 1905.13648, equation 1). Case,
Unicode form (NFKC), runs of spaces, enclosing quotes and a final full stop are ignored. Both lengths are
those of the normalized texts, which some implementations forget.

A reference of one line is compared with the final answer, or with the only quoted or bold text in it
('The sign says "STOP".'), or with the text after "says" or "reads" (The sign reads STOP). A reference of
several lines is compared with the whole answer. An answer that names several of the references has chosen
none, and scores 0.
"""

import re
import unicodedata
from functools import lru_cache

from qvl.errors import need
from qvl.reward import Unverifiable, reference
from qvl.reward.reading.answer_block import answer_block
from qvl.reward.reading.emphasis import emphasized
from qvl.reward.reading.extract import final
from qvl.reward.verifiers.exact import normal

_SAYS = re.compile(
    r"(?:the|this|that|it)\b[^:\"\n]{0,60}?\b(?:says|say|reads|read|spells|spell)\b[:,]?\s+",
    re.IGNORECASE,
)
COMPARES_WORDS = True
THRESHOLD = 0.5  # of NL; an answer that is less similar is a different one (ANLS)


def score(record: dict, response: dict) -> float:
    """The similarity of the answer to the nearest reference, from 0 to 1."""
    wanted = _references(record)
    if any("\n" in each for each in wanted):
        return max(anls(form(each), form(answer_block(response))) for each in wanted)
    final_answer = final(response)
    gold = [_reference(each) for each in wanted]
    answer = form(final_answer)
    if answer in gold:
        return 1.0
    quoted, says = emphasized(final_answer), _SAYS.match(final_answer)
    if quoted is not None and not any(emphasized(each) for each in wanted):
        answer = form(quoted)
    elif says and not any(_SAYS.match(each) for each in wanted):
        answer = form(final_answer[says.end() :])
    if len(gold) > 1 and _names_several(answer, gold):
        return 0.0
    return max(anls(each, answer) for each in gold)


def extract(response: dict) -> str:
    """The only quoted or bold text in the final answer, else the final answer."""
    final_answer = final(response)
    return emphasized(final_answer) or final_answer


def anls(gold: str, answer: str) -> float:
    """The similarity of two normalized texts: 1 - NL, or 0 from THRESHOLD on; 0 if either is empty."""
    longest = max(len(gold), len(answer))
    shortest = min(len(gold), len(answer))
    if gold == answer:
        return float(longest > 0)
    if longest - shortest >= THRESHOLD * longest:  # then so is NL; a flood costs no time
        return 0.0
    levenshtein = need("rapidfuzz.distance").Levenshtein
    nl = levenshtein.distance(gold, answer) / longest
    return 1 - nl if nl < THRESHOLD else 0.0


def form(text: str) -> str:
    """A text in its normalized form, which is compared."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return normal(plain, ".!")  # a Chinese one may be in the picture


_reference = lru_cache(1 << 12)(form)


def _references(record: dict) -> list[str]:
    answer = reference(record)
    wanted = answer if isinstance(answer, list) else [answer]
    if not all(isinstance(each, str | int | float) and _reference(str(each)) for each in wanted):
        raise Unverifiable(f"answer: expected a text or a list of texts, got {answer!r}"[:200])
    return [str(each).strip() for each in wanted]


def _names_several(answer: str, gold: list[str]) -> bool:
    """Whether an answer contains several references, none of them inside of another."""
    found = 0
    for each in sorted(set(gold), key=len, reverse=True):
        answer, number = re.subn(rf"(?<!\w){re.escape(each)}(?!\w)", "\0", answer)
        found += number > 0
    return found > 1
