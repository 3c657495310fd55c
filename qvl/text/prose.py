"""The prose of a text: what is left without code, formulas, addresses, quotations and error messages.

A message of a program is in English wherever it is discussed, often without quotation marks. It is recognized by the name of an exception, by a word for an error beside it (words/errors.txt), or
by its own words (words/messages.txt); the last two only in texts of other scripts, where its end is seen.
"""

import functools
import re

from qvl.text import words

NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|``[^\n]*?``|`[^`\n]*`"
    r"|\$\$.*?\$\$|\$[^$\n]+\$|\\\[.*?\\\]|\\\(.*?\\\)|\\[a-zA-Z]+(?:\{[^{}]*\})*"
    r"|https?://\S+|<[^<>\n]{1,80}>"
    r"|\"[^\"\n]*\"|“[^”\n]*”|\u2018[^\u2019\n]*\u2019|「[^」\n]*」|『[^』\n]*』"
    r"|《[^》\n]*》|«[^»\n]*»|„[^“”\n]*[“”]"
    r"|\([^()\n]{1,60}\)|（[^（）\n]{1,60}）"
    r"|(?<!\w)'[^'\n]{1,40}'(?!\w)|\*\*?[^*\n]{1,40}\*\*?",
    re.DOTALL,
)
ASCII_MARKS = (
    "`",
    "~~~",
    "$",
    "\\",
    "://",
    "<",
    '"',
    "(",
    " '",
    "*",
)  # each match above has one of these
MARKS = (*ASCII_MARKS, "“", "\u2018", "「", "『", "《", "«", "„", "（")

_PRINTABLE = r"[\x20-\x7e]"
NAMED = re.compile(rf"\b[\w.]*(?:Error|Exception|Warning|Traceback)\b(?:\s*[:：]{_PRINTABLE}*)?")
NAMES = ("Error", "Exception", "Warning", "Traceback")
PREFIXED = re.compile(
    rf"\b(?:error|fatal|warning|panic|exception)(?:\[\w+\])?\s*[:：]{_PRINTABLE}*", re.IGNORECASE
)
LATIN_TEXT = rf"[A-Za-z]{_PRINTABLE}{{0,160}}"  # of a message
NEAR = (
    r"[^A-Za-z\n。！？!?.।؟]"  # between a word for an error and the message: no end of a sentence
)
OTHER_LETTER = re.compile(r"[^\W\d_\u0000-\u024f\u1e00-\u1eff]")
LATIN_PHRASE = re.compile(r"[A-Za-z]{2,} [A-Za-z]")


@functools.lru_cache(maxsize=4)  # several rules read the same answer
def prose(text: str) -> str:
    """The text without code, formulas, addresses, tags, quotations, glosses, emphasis and error messages."""
    marks = ASCII_MARKS if text.isascii() else MARKS
    if any(mark in text for mark in marks):
        text = NOT_PROSE.sub(" ", text)
    if any(name in text for name in NAMES):
        text = NAMED.sub(" ", text)
    return text if text.isascii() else _without_messages(text)


def _without_messages(text: str) -> str:
    """A text of another script than Latin without the messages of programs; others unchanged."""
    if not (LATIN_PHRASE.search(text) and OTHER_LETTER.search(text)):
        return text
    lowered = words.lowered(text)
    if words.patterns("messages").find(lowered):
        text = MESSAGE_RUN.sub(_unless_message, text)
    if words.patterns("errors").find(lowered):
        text = PREFIXED.sub(" ", text)
        for pattern in _announced():
            text = pattern.sub(r"\g<word> ", text)
    return text


MESSAGE_RUN = re.compile(LATIN_TEXT)


def _unless_message(run: re.Match[str]) -> str:
    return " " if words.patterns("messages").find(run.group().lower()) else run.group()


@functools.cache
def _announced() -> tuple[re.Pattern[str], ...]:
    """The patterns of a message after, and before, a word for an error."""
    word = f"(?P<word>{'|'.join(line for line in words.lines('errors') if line[:2] != '? ')})"
    after = rf"{word}{NEAR}{{0,24}}(?:[:：]\s*)?{LATIN_TEXT}"
    before = rf"{LATIN_TEXT}{NEAR}{{0,12}}?{word}"
    return re.compile(after, re.IGNORECASE), re.compile(before, re.IGNORECASE)
