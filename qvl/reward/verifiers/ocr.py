"""OCR: how much of the text is right, by edit distance: the ANLS of one answer.

    reward = max over references of 1 - NL if NL < 0.5 else 0,   NL = Levenshtein / the longer length

(Biten et al. 2019, Scene Text Visual Question Answering, ICCV, arXiv 1905.13648, equation 1). Both
sides are compared without regard to case, Unicode form (NFKC), runs of spaces, quotes around and a
full stop at the end; both lengths are those of the texts that were compared, which some others forget.

A reference of one line is compared with the final answer, or with the one thing that is quoted or
bold in it ('The sign says "STOP".'), or that it says ("The sign reads STOP"); one of several lines, with the whole answer. An answer that says
several of the references side by side has chosen none: 0.
"""

import re
import unicodedata

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
THRESHOLD = 0.5  # of NL: from here on the answer is taken to be another one (ANLS)


def score(record: dict, response: dict) -> float:
    """The similarity to the nearest reference; see above."""
    wanted = _references(record)
    if any("\n" in each for each in wanted):
        return max(anls(form(each), form(answer_block(response))) for each in wanted)
    said = final(response)
    gold = [form(each) for each in wanted]
    answer = form(said)
    if answer in gold:
        return 1.0
    quoted, told = emphasized(said), _SAYS.match(said)
    if quoted is not None and not any(emphasized(each) for each in wanted):
        answer = form(quoted)
    elif told and not any(_SAYS.match(each) for each in wanted):
        answer = form(said[told.end() :])
    if len(gold) > 1 and _names_several(answer, gold):
        return 0.0
    return max(anls(each, answer) for each in gold)


def extract(response: dict) -> str:
    """The final answer, or what is quoted in it."""
    said = final(response)
    return emphasized(said) or said


def anls(gold: str, answer: str) -> float:
    """See above; of texts that are in their form. 0 where either is empty."""
    longest = max(len(gold), len(answer))
    shortest = min(len(gold), len(answer))
    if gold == answer:
        return float(longest > 0)
    if longest - shortest >= THRESHOLD * longest:  # so is NL; and a flood costs no time
        return 0.0
    levenshtein = need("rapidfuzz.distance", extra="reward").Levenshtein
    nl = levenshtein.distance(gold, answer) / longest
    return 1 - nl if nl < THRESHOLD else 0.0


def form(text: str) -> str:
    """What is compared of a text."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return normal(plain)


def _references(record: dict) -> list[str]:
    answer = reference(record)
    wanted = answer if isinstance(answer, list) else [answer]
    if not all(isinstance(each, str | int | float) and form(str(each)) for each in wanted):
        raise Unverifiable(f"a text or a list of texts is expected as answer, not {answer!r}"[:200])
    return [str(each).strip() for each in wanted]


def _names_several(answer: str, gold: list[str]) -> bool:
    """Whether different references stand in the answer, none of them inside of another."""
    found = 0
    for each in sorted(set(gold), key=len, reverse=True):
        answer, number = re.subn(rf"(?<!\w){re.escape(each)}(?!\w)", "\0", answer)
        found += number > 0
    return found > 1
