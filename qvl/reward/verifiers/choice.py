r"""Multiple choice: compare the letter, or letters, that a response chooses with the reference.

The reward is 1 if they are exactly the reference's, else 0. The letters are read from the final answer. If
it names none ("because the dog barks."), they are read from the last line with a conclusion ("The answer
is B", in English or Chinese), else from the line that begins with a letter ("B. a cat"). Formatting is
ignored: **B**, (b), $B$, \boxed{\text{B}}. A conclusion outweighs an option that is only mentioned. Two
conclusions in one line ("A or B") and a repeated list of the options choose nothing. If lines conclude
differently, the response has changed its mind, and the last one counts.
"""

import re
from functools import lru_cache

from qvl.reward import Unverifiable, reference
from qvl.reward.reading.extract import final
from qvl.text.thinking import answer_text

MAX_CHARACTERS = 20_000  # at the end of a text that are searched for a conclusion; our choice
UNDECIDED = "?"

_ONE = r"(?<![A-Za-z])[A-Z](?![A-Za-z'’])"
_ARTICLE = r"(?<![A-Za-z])[AI] (?!because|since|as |is |and |or |in )[a-z]"  # "A dog", "I think"
_AND = r"\s*\)?\s*(?:[,/&+、，]|\band\b|\bor\b|[和及或])?\s*(?:\band\b|\bor\b)?\s*\(?\s*"
_SET = rf"(?!{_ARTICLE})(?:{_ONE}(?:{_AND}{_ONE})*|(?<![A-Za-z])[A-J]{{2,10}}(?![A-Za-z]))"
_IS = r"(?:is|are|was|would be|should be|must be|will be|has to be|[:=：])"

_ALONE = re.compile(rf"^\W*({_SET}|[a-z])\W*$")
_LEADS = re.compile(rf"^\W*({_ONE})\s*[.):．：）、]")
_MARKS = re.compile(r"(?<![A-Za-z])([A-Z])[.):．：）、]\s*\S")
# The beginnings of a conclusion, in lower case; the letters follow at once, or end the line.
_BEFORE = re.compile(
    rf"\b(?:(?:answers?|options?|choices?|letters?)\s*(?:{_IS}\s*)+|answer\s+|(?:choose|chose|select|pick|go with)\s+)"
    r"(?:the\s+)?(?:(?:letter|option|choice|answer)s?\s+)?"
)
_BEFORE_THE_END = re.compile(
    r"\b(?:it(?:\s+is|'s|’s|\s+must\s+be)\s+(?:option\s+)?|(?:answer|option|choice)\b[^.\n]{0,40}?\sis\s+)"
)
_SMALL = re.compile(rf"\b(?:answer|option|choice)\s*(?:{_IS}\s*)?\(?([a-z])\)")
_FOLLOWS = re.compile(rf"\W{{0,3}}?({_SET})")
_ENDS = re.compile(rf"\W?({_SET})\W*$")
_IS_RIGHT = re.compile(
    rf"({_ONE})\)?\s+is\s+(?:therefore\s+|thus\s+)?(?:the\s+)?(?:only\s+|most\s+|best\s+)?(?:correct|right|best|true|answer)\b"
)
# The answer is; choose; X is right.
_CHINESE = re.compile(
    rf"(?:答案|选项|选择|选)\s*(?:应该|应|只能|就)?(?:是|为|选|[:：])*\s*(?:选项|选择)?\s*[(（]?\s*({_SET})"
    rf"|({_ONE})\s*(?:选?项)?\s*(?:是)?\s*(?:正确|对的)"
)
_MENTIONS = re.compile(rf"(?i:\b(?:option|choice)\s+)(?!{_ARTICLE})\(?({_ONE})")
_OR = re.compile(r"\bor\b|/|或")
_COMMAND = re.compile(r"\\(?:text|math)[a-z]*|\\[()\[\]]")
_FORMATTING = str.maketrans("", "", "*_`$#{}")


def score(record: dict, response: dict) -> float:
    """1 if the response chooses exactly the reference's letters, else 0."""
    gold = _gold(reference(record))
    if gold is None:
        raise Unverifiable(
            f"answer: expected a letter or a list of letters, got {record['answer']!r}"[:200]
        )
    return float(extract(response) == gold)


def extract(response: dict) -> str | None:
    """The letters that a response chooses, in alphabetical order; None if it names none or is undecided."""
    found = letters(final(response))
    if found is None:
        found = _concluded(answer_text(response)[-MAX_CHARACTERS:])
    return None if found == UNDECIDED else found


@lru_cache(1 << 12)
def letters(text: str) -> str | None:
    """The letters that a line chooses, in alphabetical order; UNDECIDED for alternatives, None without any."""
    if len(text) > MAX_CHARACTERS:
        return None
    text = _plain(text)
    alone = _ALONE.match(text)
    if alone:
        return _read(alone[1])
    concluded, leads = _conclusion(text), _LEADS.match(text)
    if concluded:
        return concluded if not leads or leads[1] in concluded else UNDECIDED
    marks = set(_MARKS.findall(text))
    if leads:
        return leads[1] if marks <= {leads[1]} else UNDECIDED
    mentioned = set(_MENTIONS.findall(text))
    if len(mentioned | marks) > 1:
        return UNDECIDED
    return mentioned.pop() if mentioned else None


def _conclusion(text: str) -> str | None:
    """The letters that a plain line concludes with; UNDECIDED if it has two conclusions, None without one."""
    lower = text.lower()
    if len(lower) != len(text):  # so that positions in one are valid in the other
        lower = text
    matches = [_FOLLOWS.match(text, begin.end()) for begin in _BEFORE.finditer(lower)]
    matches += [_ENDS.match(text, begin.end()) for begin in _BEFORE_THE_END.finditer(lower)]
    if " is " in text:
        matches += _IS_RIGHT.finditer(text)
    found = {_read(one[1]) for one in matches if one}
    found |= {one[1].upper() for one in _SMALL.finditer(lower) if text[one.start(1)].islower()}
    if not text.isascii():
        found |= {_read(one[1] or one[2]) for one in _CHINESE.finditer(text)}
    if len(found) > 1:
        return UNDECIDED
    return found.pop() if found else None


def _concluded(text: str) -> str | None:
    """The letters that a text chooses if its final answer names none; None without a conclusion."""
    lines = [line for line in _plain(text).splitlines() if line.strip()]
    for line in reversed(lines):
        concluded = _conclusion(line)
        if concluded:
            return concluded
    leading = {lead[1] for line in lines if (lead := _LEADS.match(line) or _ALONE.match(line))}
    return leading.pop() if len(leading) == 1 else None


def _plain(text: str) -> str:
    """A text without formatting, with full-width letters as ASCII."""
    if not text.isascii():
        text = text.translate(_WIDE)
    return (
        _COMMAND.sub("", text).translate(_FORMATTING)
        if "\\" in text
        else text.translate(_FORMATTING)
    )


_WIDE = {wide: wide - 0xFEE0 for wide in (*range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}


def _read(text: str) -> str:
    """The letters of a set, sorted: "B and (A)" is "AB"; UNDECIDED for alternatives and words."""
    if _OR.search(text):
        return UNDECIDED
    found = re.findall(r"[A-Z]", text.upper() if len(text) == 1 else text)
    return "".join(sorted(found)) if len(set(found)) == len(found) else UNDECIDED


def _gold(answer: object) -> str | None:
    """The letters of a reference, sorted; None if it names no letters."""
    if isinstance(answer, list) and all(isinstance(each, str) for each in answer):
        read = [letters(each) for each in answer]
        found = "".join(sorted("".join(each or UNDECIDED for each in read)))
    else:
        found = letters(str(answer))
    return found if found and UNDECIDED not in found else None
