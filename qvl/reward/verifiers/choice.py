r"""Multiple choice: compare the letter, or letters, that a response chooses with the reference.

The reward is 1 if they are exactly the reference's, else 0. The letters are read from the final answer. If
it names none ("because the dog barks."), they are read from the last line with a conclusion ("The answer
is B", "Therefore B", in English or Chinese), else from the line that begins with a letter ("B. a cat").
Formatting is ignored: **B**, (b), $B$, \boxed{\text{B}}. A conclusion outweighs an option that is only mentioned: what
follows "because" or "since" is a reason, and an option that is denied ("not C", "D is wrong") is not chosen.
Alternatives ("A or B"), two conclusions in one line, and the options said again choose nothing. Lines with
some of the options ("A. cat", "C. cow") choose these. If lines conclude differently, the response has changed
its mind, and the last one counts.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from qvl import record as records
from qvl.reward import Unverifiable, reference
from qvl.reward.reading import options as listed
from qvl.reward.reading.extract import final, last_boxed, without_lead
from qvl.text.thinking import answer_text

MAX_CHARACTERS = 20_000  # at the end of a text that are searched for a conclusion; our choice
MAX_LINE = 2000  # characters at the end of a line that are read; our choice
MAX_ALONE = 40  # characters of a line that is nothing but letters
UNDECIDED = "?"

_ONE = r"(?<![A-Za-z0-9])[A-Z](?![A-Za-z0-9'’])"
_ARTICLE = r"(?<![A-Za-z])[AI] (?!because|since|as |is|are|and |or |in |only|but |nor |not |plus |while |cannot|can|does|do |fails|has |was|seems|must)[a-z]"  # "A dog", "I think"
_AND = r"\s*\)?\s*(?:[,;/&+、，；]|(?i:\band\b|\bor\b|\bplus\b|\bas well as\b)|[和及与或])?\s*(?i:\band\b|\bor\b)?\s*(?:(?i:options?|choices?)\s+)?\(?\s*"
_SET = (
    rf"(?!{_ARTICLE})(?:{_ONE}(?:(?>{_AND}){_ONE}){{0,26}}+|(?<![A-Za-z])[A-J]{{2,10}}(?![A-Za-z]))"
)
_SMALL_SET = r"[a-j](?:(?>\s*(?:[,;/&+、，]|\band\b|\bor\b)\s*(?:and\s+|or\s+)?\(?)[a-j]\)?){1,10}+"
_IS = r"(?:is|are|was|would be|should be|must be|will be|has to be|[:=：])"
_KIND = r"(?:answers?|options?|choices?|letters?|选项|选择)"

_ALONE = re.compile(
    rf"^\W*({_SET}|[a-z]|{_SMALL_SET}|(?!as|be|ad|if|hi)(?=[a-j]{{2,10}}\W*$)a?b?c?d?e?f?g?h?i?j?)\W*$"
)
_PREFIX = re.compile(  # what may stand before the letters and says nothing else
    r"\W*(?:(?:so|thus|therefore|hence|then|and|but|ok(?:ay)?|finally|well|clearly|overall|consequently|in conclusion|to conclude"
    r"|i(?:['’]d|['’]ll|['’]m|\s+would|\s+will|\s+am)?\s+(?:think|believe|say|guess|choose|chose|pick|select|conclude|answer|go\s+(?:with|for)|going with)(?:\s+that)?"
    r"|(?:it|that|this)(?:['’]s|\s+(?:is|must be|should be|would be|has to be))"
    rf"|(?:(?:the|my|correct|right|best|final|chosen|only)\s+)*(?:{_KIND}|ans|final|result|solution)(?:\s*{_IS})*"
    r"|both|all of|all|only|is|are|must be|definitely|probably)(?![A-Za-z'’])[\s,:：.]*|(?:所以|因此|故|应该|应|本题|综上|最终|我|是|则|但|而)[，,]?\s*(?:选择|选|是)?\s*[:：]?\s*(?:选项)?)",
    re.IGNORECASE,
)
_LEADS = re.compile(
    rf"^\W*(?:({_SET})|\(?([a-z])(?=[).:]\s))\s*(?:选?项)?\s*(?:[.):．：）、,，;；(（。]|[-–—](?=\s))"
)
_ANOTHER = re.compile(  # letters, then others
    r"(?<![A-Za-z])([A-J]{1,8})\)?\s*(?:[,;/]\s*|(?i:\band\b)\s*|([,;]?\s*\(?\s*(?:(?i:\bor\b)|或)\s*))"
    r"(?:(?i:options?|choices?)\s+)?\(?([A-J]{1,8})(?![A-Za-z'’])"
)
_LEADS_ONE = re.compile(rf"^\W*({_ONE})\s*[.):．：）、]")
_MARKS = re.compile(r"(?<![A-Za-z])([A-Z])[.):．：）、]\s*\S")
# The beginnings of a conclusion, in lower case; the letters follow at once, or end the line.
_BEFORE = re.compile(
    rf"\b(?:(?:answers?|options?|choices?|letters?)\s*(?:{_IS}\s*)+|answer\s+|(?:choose|chose|select|pick|go with|go for)\s+)"
    r"(?:(?:for sure|definitely|certainly|clearly|obviously|surely|therefore|thus|most likely|probably)\s+)?"
    r"(?:the\s+)?(?:both\s+)?(?:(?:letter|option|choice|answer)s?\s+)?"
)
_BEFORE_THE_END = re.compile(
    r"\b(?:it(?:\s+is|'s|’s|\s+must\s+be)\s+(?:option\s+)?|(?:answer|option|choice)\b[^.\n]{0,40}?\sis\s+|(?:so|thus|therefore|hence),?\s+)"
)
_SMALL = re.compile(
    rf"\b(?:answer|option|choice)\s*(?:(?:{_IS}\s*)?\(([a-z])\)|{_IS}\s*(?:(?:option|choice|letter)\s+)?([a-z])(?:\)|(?=\s*[.,;!]|\s*$)))"
)
_FOLLOWS = re.compile(rf"\W{{0,3}}?({_SET})")
_ENDS = re.compile(rf"\W?({_SET})\W*$")
_IS_RIGHT = re.compile(
    rf"(?:(?i:\bboth)\s+)?({_SET})\)?\s+(?:is|are)\s+(?:therefore\s+|thus\s+|both\s+|all\s+)?(?:the\s+)?(?:only\s+|most\s+|best\s+|two\s+)?(?:correct|right|best|true|answers?)\b"
)
# The answer is; choose; X is right.
_CHINESE = re.compile(
    rf"(?:答案|选项|选择|选)\s*(?:应该|应|只能|就)?(?:是|为|选|[:：])*\s*(?:选项|选择)?\s*[(（]?\s*({_SET}|[a-j](?![A-Za-z]))"
    rf"|({_SET})\s*(?:选?项)?\s*(?:都|均)?(?:是)?\s*(?:正确|对的)"
)
_MENTIONS = re.compile(rf"(?i:\b(?:option|choice)\s+)(?!{_ARTICLE})\(?({_ONE})")
_FEW = rf"{_ONE}(?:\s*[、和与及]\s*{_ONE})*"  # in Chinese, where a comma ends a clause
_NAMED = r"(?:(?i:the\s+)?(?i:options?|choices?|answers?|letters?)\s+)?\(?"
_EACH = rf"{_NAMED}{_ONE}\)?(?:\s+(?i:and|or|nor)\s+(?>{_NAMED}){_ONE}\)?){{0,26}}+"
_ALL = rf"{_NAMED}{_ONE}\)?(?:(?>\s*(?:(?:[,、&]|(?i:\band\b|\bor\b|\bnor\b))\s*)++{_NAMED}){_ONE}\)?){{0,26}}+"
_WRONG = r"(?:both |all |clearly |also |just |obviously )*(?:not(?:\s+(?:correct|right|true|possible|the answer))?|wrong|incorrect|false|out|eliminated|ruled out|excluded|impossible|invalid|distractors?)"
_DENIED = re.compile(
    rf"(?i:,?\s*\b(?:and |but |while )?(?:not|rather than|instead of|unlike|except(?: for)?|nor|neither)\s+){_EACH}"
    rf"|(?i:\b(?:while|but|whereas|although)\s+)?(?:{_EACH}(?:\s*\([^()]{{0,60}}\))?\s+(?i:(?:(?:is|was|seems|looks)\s+{_WRONG}"
    r"|(?:is|does|would|wo|ca)n['’]t|cannot|can not|does not|would not|fails|contradicts)\b[^,.;，。；]{0,80})"
    rf"|{_ALL}\s+(?i:(?:(?:are|were|seem|look)\s+{_WRONG}|(?:are|do)n['’]t|do not|fail|contradict)\b[^,.;，。；]{{0,80}}))"
    rf"|(?i:\b(?:eliminat\w+|rul\w+ out|exclud\w+|reject\w+|discard\w+)\s+){_ALL}"
    rf"|(?:而?不(?:是|选|能选)|排除|而非|并非|除了)\s*(?:选项)?\s*{_FEW}(?:\s*选?项)?"
    rf"|{_FEW}\s*(?:选?项)?\s*(?:都|均|也)?(?:是)?(?:错误|不正确|不对|错|不成立|不符合?|不能|不是|有误)的?"
)
_REASON = re.compile(
    r"[,;:(]?\s{0,3}(?:\b(?:because|since|given that|due to|for the reason|the reason)\b|,\s*as\b|\bas\s+(?:it|the|all|only|option)\b)"
    r"|[,，;；。（(]?\s{0,3}(?:因为|由于|理由|原因)",
    re.IGNORECASE,
)
_REASON_FIRST = re.compile(
    r"^\W*(?:(?:because|since|as|given that)\b[^,]*,|(?:因为|由于)[^，,]*[，,])", re.IGNORECASE
)
_OR = re.compile(r"\bor\b|/|或", re.IGNORECASE)
_COMMAND = re.compile(r"\\(?:text|math)[a-z]*|\\[()\[\]]")
_FORMATTING = str.maketrans("", "", "*_`$#{}")
_ANNOUNCES = re.compile(r"\b(?:correct|right|true|answers?)\b|正确|答案", re.IGNORECASE)
_NONE: Mapping[str, str] = {}


def score(record: dict, response: dict) -> float:
    """1 if the response chooses exactly the reference's letters, else 0."""
    answer = reference(record)
    gold = _gold_of(answer) if isinstance(answer, str) else _gold(answer)
    if gold is None:
        raise Unverifiable(
            f"answer: expected a letter or a list of letters, got {record['answer']!r}"[:200]
        )
    return float(_extract(response, record) == gold)


def extract(response: dict) -> str | None:
    """The letters that a response chooses, in alphabetical order; None if it names none or is undecided."""
    return _extract(response, None)


def _extract(response: dict, record: dict | None) -> str | None:
    answer = final(response)
    found = _alone(answer) if len(answer) < MAX_ALONE else None
    if found:
        return None if found == UNDECIDED else found
    known = listed.options(records.question(record)) if record else _NONE
    text = answer_text(response)
    if last_boxed(text) is None and "<answer>" not in text:
        lines = _plain(text[-MAX_CHARACTERS:]).splitlines()
    else:
        lines = _plain(answer).splitlines()
        text = answer
    last, before = listed.block(lines)
    if len(last) > 1:
        found = _of_block(last, lines[:before], known)
        text = "\n".join(lines[:before])
    else:
        found = letters(lines[-1] if len(lines) > 1 and text is answer else answer, known)
    if found is None:
        found = _concluded(text[-MAX_CHARACTERS:], known)
    return None if found == UNDECIDED else found


@lru_cache(1 << 12)
def _alone(text: str) -> str | None:
    """The letters of a line that has nothing else; None for other lines."""
    found = _ALONE.match(text)
    return _read(found[1]) if found else None


def _of_block(lines: list[str], before: list[str], known: Mapping[str, str]) -> str | None:
    """The letters that several lines of options choose; None for the options said again."""
    found = listed.chosen(lines, known)
    if found is None and len(lines) == len(known) > 1:
        lead = next((line for line in reversed(before) if line.strip()), "")
        if _ANNOUNCES.search(lead) and lead.rstrip().endswith((":", "：")):
            return "".join(sorted(known))
    return found


def letters(text: str, known: Mapping[str, str] = _NONE) -> str | None:
    """The letters that a line chooses, in alphabetical order; UNDECIDED for alternatives, None without any.

    known: the question's options by letter.
    """
    return _letters(text[-MAX_LINE:], tuple(known.items()))


@lru_cache(1 << 12)
def _letters(text: str, known: tuple[tuple[str, str], ...]) -> str | None:
    plain = without_lead(" ".join(_plain(text).split()))
    marks = set(_MARKS.findall(plain))
    if len(marks) > 1 and _LEADS_ONE.match(plain) and _DENIED.search(plain) is None:
        restated = listed.is_restated(sorted(marks), dict(known))
        return UNDECIDED if restated else "".join(sorted(marks))
    stated = _REASON_FIRST.sub("", _DENIED.sub(" ", plain), count=1)
    reason = _REASON.search(stated)
    if reason and re.search(r"[A-Za-z]", stated[: reason.start()]):
        stated, tail = stated[: reason.start()], stated[reason.end() :]
        otherwise = _conclusion(tail)
    else:
        otherwise = None
    found = _stated(stated, dict(known)) or otherwise
    listing = _MARKS.findall(stated)
    if len(listing) > 1 and found == listing[0] and listed.is_restated(listing, dict(known)):
        return UNDECIDED  # "Options: A. cat B. dog C. cow"
    if found and ((otherwise and otherwise != found) or _offers_another(stated, found)):
        return UNDECIDED
    return found


def _offers_another(text: str, found: str) -> bool:
    """Whether a line names other letters beside those found: "B (or A)", "AC and BD"."""
    for one in _ANOTHER.finditer(text):
        first, second = ("".join(sorted(one[group])) for group in (1, 3))
        if first == found and second != found and (len(found) > 1 or one[2]):
            return True
    return False


def _stated(text: str, known: Mapping[str, str]) -> str | None:
    """The letters that a line states, from which reasons and denials are removed."""
    rest = text
    while (prefix := _PREFIX.match(rest)) and prefix.end():
        rest = rest[prefix.end() :]
    alone = _ALONE.match(rest)
    if alone and (found := _read(alone[1])):
        return found
    concluded = _conclusion(text)
    leads = _leading(rest, known)
    if concluded:
        return concluded if not leads or set(leads) <= set(concluded) else UNDECIDED
    marks = set(_MARKS.findall(text))
    if leads:
        return leads if marks <= set(leads) else UNDECIDED
    mentioned = set(_MENTIONS.findall(text))
    if len(mentioned | marks) > 1:
        return UNDECIDED
    return mentioned.pop() if mentioned else None


def _leading(text: str, known: Mapping[str, str]) -> str | None:
    """The letters at the beginning of a line, if they are marked as an option or followed by its words."""
    leads = _LEADS.match(text)
    if leads:
        return _read(leads[1] or leads[2])
    one = re.match(rf"^\W*({_ONE})\s+(.+)$", text)
    if one and known.get(one[1]) == listed.plain(one[2]):
        return one[1]
    named = {letter for letter in re.findall(r"\(([A-Z])\)", text) if letter in known}
    named = {
        each
        for each in named
        if f"{known[each]} ({each.lower()})" in " ".join(text.lower().split())
    }
    return named.pop() if len(named) == 1 else None


def _conclusion(text: str) -> str | None:
    """The letters that a plain line concludes with; UNDECIDED if it has two conclusions, None without one."""
    lower = text.lower()
    if len(lower) != len(text):  # so that positions in one are valid in the other
        lower = text
    matches = [_FOLLOWS.match(text, begin.end()) for begin in _BEFORE.finditer(lower)]
    matches += [_ENDS.match(text, begin.end()) for begin in _BEFORE_THE_END.finditer(lower)]
    if " is " in text or " are " in text:
        matches += _IS_RIGHT.finditer(text)
    found = {_read(one[1]) for one in matches if one}
    for one in _SMALL.finditer(lower):
        group = 1 if one[1] else 2
        if text[one.start(group)].islower():
            found.add(one[group].upper())
    if not text.isascii():
        found |= {_read(one[1] or one[2]) for one in _CHINESE.finditer(text)}
    found.discard(None)
    if len(found) > 1:
        return UNDECIDED
    return found.pop() if found else None


def _concluded(text: str, known: Mapping[str, str]) -> str | None:
    """The letters that a text chooses if its final answer names none; None without a conclusion."""
    lines = [line[-MAX_LINE:] for line in _plain(text).splitlines() if line.strip()]
    for line in reversed(lines):
        concluded = _conclusion(_REASON.split(_DENIED.sub(" ", " ".join(line.split())))[0])
        if concluded:
            return UNDECIDED if _offers_another(line, concluded) else concluded
    leading = {
        lead[1]
        for line in lines
        if (lead := _LEADS_ONE.match(line) or re.match(rf"^\W*({_ONE})\W*$", line))
    }
    return leading.pop() if len(leading) == 1 and not known.keys() <= leading else None


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


def _read(text: str) -> str | None:
    """The letters of a set, sorted: "B and (A)" is "AB"; UNDECIDED for alternatives, None without letters."""
    if _OR.search(text):
        return UNDECIDED
    words = re.sub(r"(?i)\b(?:and|plus|as well as|options?|choices?)\b", " ", text)
    found = re.findall(r"[A-Z]", words if any(map(str.isupper, words)) else words.upper())
    if not found:
        return None
    return "".join(sorted(found)) if len(set(found)) == len(found) else UNDECIDED


def _gold(answer: object) -> str | None:
    """The letters of a reference, sorted; None if it names no letters."""
    if isinstance(answer, list) and all(isinstance(each, str) for each in answer):
        read = [letters(each) for each in answer]
        found = "".join(sorted("".join(each or UNDECIDED for each in read)))
    else:
        found = letters(str(answer))
    return found if found and UNDECIDED not in found else None


_gold_of = lru_cache(1 << 12)(_gold)
