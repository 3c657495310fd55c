"""The options of a multiple-choice question, and lines of an answer that repeat them."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

MAX_CHARACTERS = 20_000  # of a question
_LINE = re.compile(r"^[\s>*+•-]{0,6}[(（]?([A-Z])\s{0,2}[.):．：）、]\s*(\S.*?)\s*$", re.MULTILINE)
_INLINE = re.compile(r"(?:^|[\s(（;；,，])([A-Z])[.):．：）、]\s*(\S.*?)(?=\s*(?:[\s(（;；,，][A-Z][.):．：）、]|$))", re.MULTILINE)  # fmt: skip
_JUDGED = re.compile(
    r"(?P<wrong>\b(?:not|wrong|incorrect|false|no|isn['’]t|cannot)\b|[✗✘×❌]|错|不)"
    r"|(?P<right>\b(?:correct|right|true|yes)\b|[✓✔✅]|正确|对)",
    re.IGNORECASE,
)


@lru_cache(maxsize=1 << 10)
def options(question: str) -> Mapping[str, str]:
    """The options of a question by letter, from A on without gaps; empty if it has less than two."""
    text = question[-MAX_CHARACTERS:]
    for pattern in (_LINE, _INLINE):
        found = dict(pattern.findall(text))
        last = 0
        while chr(ord("A") + last) in found:
            last += 1
        if last > 1:
            return {letter: plain(found[letter]) for letter in sorted(found)[:last]}
    return {}


def plain(words: str) -> str:
    """The words of an option, normalized for a comparison."""
    return " ".join(re.sub(r"[*_`$\\{}]", "", words).casefold().split()).strip(" .,;:!。\"'()")


def block(lines: Sequence[str]) -> tuple[list[str], int]:
    """The last lines that are options, without blank lines, and the number of lines before them."""
    taken: list[str] = []
    start = len(lines)
    for place in range(len(lines) - 1, -1, -1):
        line = lines[place]
        if not line.strip():
            continue
        if not _LINE.match(line):
            break
        taken.append(line)
        start = place
    return taken[::-1], start


def chosen(lines: Sequence[str], known: Mapping[str, str]) -> str | None:
    """The letters of a block of options, if it is a choice: the ones judged right, or less than all of them.

    None for the options said again: all of the question's, or where they are not known, A to some letter.
    """
    read = [found for line in lines if (found := _LINE.match(line))]
    judged = {found[1]: _JUDGED.findall(found[2]) for found in read}
    letters = [found[1] for found in read]
    if len(set(letters)) < len(letters):
        return None
    if sum(map(bool, judged.values())) == len(read) > 1:
        return (
            "".join(letter for letter in letters if not any(wrong for wrong, _ in judged[letter]))
            or None
        )
    return None if is_restated(letters, known) else "".join(sorted(letters))


def is_restated(letters: Sequence[str], known: Mapping[str, str]) -> bool:
    """Whether several letters with words after them are the options said again, and no choice."""
    if known:
        return set(letters) >= set(known)
    return len(letters) > 1 and sorted(letters) == [chr(ord("A") + i) for i in range(len(letters))]
