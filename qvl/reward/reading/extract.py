r"""The final answer in a response's text: one reading for all verifiers of short answers.

It is the content of the last \boxed{}, else of the last <answer>, else the last line: without a closing rule
or fence, and all of a display ($$, \[ or an environment) that ends there. What announces the answer
("**Answer:**", "So the final answer is", in English or Chinese) and the marks around all of it (bold,
italics, code, a heading) are no part of it.
"""

import re

from qvl.reward.reading.emphasis import unwrapped
from qvl.text.thinking import answer_text

_OPEN, _CLOSE = r"(?P<mark>[*_`]{1,3})?", r"(?(mark)(?:(?P=mark))?)"
_IS = r"(?:is|are|was|equals|would be|should be|must be|will be|has to be)"
_COLON = rf"{_CLOSE}\s*[:：]{_CLOSE}"
_LEAD = re.compile(
    rf"{_OPEN}(?:(?:so|thus|hence|therefore|then|finally|consequently|in conclusion|as a result)\b,?\s+)?"
    r"(?:(?:the|my|our|your)\s+)?(?:(?:final|correct|right|best|short|overall)\s+)*"
    r"(?:answers?|ans\.?|(?<=final )result|final(?=[*_`]{0,3}\s*[:：]))"
    r"(?:\s+(?:here|to\s+(?:this|the)\s+(?:question|problem|puzzle)))?"
    rf"(?:{_COLON}|{_CLOSE}\s*{_IS}(?![A-Za-z])(?:{_COLON})?)\s*",
    re.IGNORECASE,
)
_MAY_MATTER = frozenset("*_`#>-TMOYSHFCIARBtmoyshfciarb")  # first letters of leads, and marks
_SIMPLE_LEAD = re.compile(  # the most frequent ones, for speed
    r"(?:[Tt]he +)?(?:[Ff]inal +)?[Aa]nswer(?: +is|:) +(?=[A-SU-Za-su-z0-9.+-])"
)
_CHINESE_LEAD = re.compile(
    rf"{_OPEN}(?:(?:所以|因此|因而|故|综上(?:所述)?|那么|于是|由此可[知得]|最后|则)[，,]?\s*)?"
    r"(?:(?:本题|此题|该题|问题|题目)的?)?(?:正确|最终|最后)?的?(?:答案|结果|答)"
    rf"(?:{_COLON}|{_CLOSE}\s*(?:应该|应|就|便)?(?:是|为|等于)(?:{_COLON})?)\s*"
)
_HEADING = re.compile(r"(?:#{1,6}|>|[•]|\*(?=\s+\S[^*]*$))\s+|-\s+(?=[A-Za-z*_`\u4e00-\u9fff])")
_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_CLOSING = re.compile(r"(\$\$|\\\]|\\end\{[A-Za-z]+\*?\}|`{3,}|~{3,}|[-*_=]{3,})[.,。]?")
_MAY_CLOSE = frozenset("$\\`~-*_=")
_MAY_LEAD = re.compile(  # cheap
    r"[*_`#>•-]|[TMOYSHFCIARBtmoyshfciarb](?:he |here|y |ur |our |o[, ]|hus|en|in|on|n |s |ns|or|ight|est|hort|verall)"
)
_BRACES = re.compile(r"[{}]")
_SPACE = r"(?:[\s.$]|\\(?:[,:;! ()\[\]]|q?quad(?![a-z]))){0,12}"
_JOINT = re.compile(
    rf"{_SPACE}(?:[,;&、和或]|\\text\{{\s*(?:and|or)\s*\}}|\b(?:and|or)\b){_SPACE}(?:\b(?:and|or)\b{_SPACE})?"
)
MAX_BOXES = 20  # that are joined
MAX_BLOCK = 4000  # characters of a display or a code block at the end of a text


# The last content and its answer: callers request each twice, to judge it and to show it.
_latest: tuple[str | None, str] = None, ""


def final(response: dict) -> str:
    """The final answer; "" without text.

    The thinking is left out; a response that was truncated while thinking has no final answer.
    """
    global _latest
    content = response.get("content")
    known, answer = _latest
    if known is not content or content is None:  # the very same string, so no comparison
        answer = _final(response)
        _latest = content, answer
    return answer


def _final(response: dict) -> str:
    text = answer_text(response)
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed.strip()
    tagged = _TAG.findall(text) if "<answer>" in text else None
    if tagged:
        return tagged[-1].strip()
    text = text.rstrip()
    lines = text[text.rfind("\n") + 1 :].splitlines()  # the last alone: this runs for each response
    if not lines:
        return ""
    line = lines[-1].strip()
    if line[:1] in _MAY_CLOSE and _CLOSING.fullmatch(line):
        line = _closed(text)
    return without_lead(line)


def without_lead(line: str) -> str:
    """A line without the words that announce an answer, and without the marks around all of it."""
    if line[:1] in _MAY_MATTER:
        simple = _SIMPLE_LEAD.match(line)
        if simple:
            return line[simple.end() :]
    if _is_bare(line):
        return line
    for _ in range(3):
        before = line = unwrapped(line)
        if _is_bare(line):
            break
        if not line.isascii():
            found = _CHINESE_LEAD.match(line)
            line = line[found.end() :].rstrip("。") if found else line
        for pattern in (_HEADING, _LEAD):
            found = pattern.match(line)
            line = line[found.end() :] if found else line
        if line == before:
            break
    return line


def _is_bare(line: str) -> bool:
    """Whether a line has no lead and no marks around it, as its first letters tell."""
    return (line[:1] not in _MAY_MATTER or not _MAY_LEAD.match(line)) and line.isascii()


def _closed(text: str) -> str:
    """The last line of a text that ends with a rule or a fence, or the display that ends there."""
    text = text[-MAX_BLOCK:]
    for _ in range(8):
        text = text.rstrip()
        start = text.rfind("\n") + 1
        closing = _CLOSING.fullmatch(text[start:].strip())
        if not closing:
            return text[start:].strip()
        before, mark = text[:start], closing[1]
        opening = "\\[" if mark == "\\]" else mark.replace("\\end", "\\begin")
        begin = before.rfind(opening) if mark[0] in "$\\" else -1
        if begin >= 0:
            keep = begin if mark.startswith("\\end") else begin + len(opening)
            block = before[keep:] + (mark if mark.startswith("\\end") else "")
            return " ".join(block.split())
        text = before
    return ""


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{...} or \fbox{...}, up to its own closing brace; None if there is none.

    The contents of boxes that only a comma, "and" or "or" joins are one answer: "1, 2".
    """
    first = text.find("box")
    if first < 0:
        return None
    found = _boxed_before(text, len(text))
    if found is None:
        return None
    start, content, _ = found
    joined = [content]
    while first < start and len(joined) < MAX_BOXES:
        before = _boxed_before(text, start)
        if before is None or not _JOINT.fullmatch(text, before[2], start):
            break
        start = before[0]
        if before[1].strip() not in map(str.strip, joined):
            joined.append(before[1])
    return ", ".join(reversed(joined))


def _boxed_before(text: str, end: int) -> tuple[int, str, int] | None:
    """The last box that begins before `end`: its start, content and end; None if it is not closed."""
    start = max(text.rfind("\\boxed", 0, end), text.rfind("\\fbox{", 0, end))
    if start < 0:
        return None
    begin = text.find("{", start, start + 16) + 1
    if not begin or text[start + 1 : begin - 1].rstrip() not in ("boxed", "fbox"):
        return None
    depth = 1
    for found in _BRACES.finditer(text, begin, end):
        depth += 1 if found[0] == "{" else -1
        if depth == 0:
            return start, text[begin : found.start()], found.end()
    return None
