"""Choose the program among the code blocks of a response.

A block begins with a fence of three or more ` or ~, and ends with one of the same character that is at
least as long (CommonMark 4.5). The last block is often no program: sample output, a complexity, a line for
the shell. So blocks are ranked, and the last of the best ones is the program.
"""

import re
import textwrap
from collections.abc import Collection, Iterator

_FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*(.*)")
_PYTHON = re.compile(r"\{?\.?(?:i?python|py|pypy)[\d.]*[}:,]?", re.IGNORECASE)
_MARKDOWN = ("markdown", "md", "")  # such a block may hold the blocks of an answer
_NAMES = re.compile(
    r"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)|^(\w+)[ \t]*(?::[^=\n]*)?=(?!=)", re.MULTILINE
)
_PRINTS = re.compile(r"\bprint\b|\bstdout\b|\.write\b|\bos\.system\b")
_READS = re.compile(r"\binput\b|\bstdin\b|\bopen\b|\bfileinput\b|\bread\b")
_SESSION = re.compile(r"\s*(?:>>> |In \[\d+\]:)")
_COMMAND = re.compile(r"\s*(?:[$%>] |(?:python|pypy)[\d.]* [^=\s])")


def program(text: str, names: Collection[str] = (), *, reads: bool = False) -> str:
    """The program of an answer: its best closed code block, or the whole text if it has no fence.

    Blocks in another language and interactive sessions are no programs. Of the others the best defines
    most of `names`; then, prints; then, its fence says Python; then, `reads` standard input. Of several
    that are as good, the last is chosen.
    """
    found = list(blocks(text))
    if not found:
        return "" if "```" in text or "~~~" in text else text
    best, chosen = None, ""
    for tag, body in found:
        tagged = bool(_PYTHON.fullmatch(tag))
        if (tag and not tagged) or _SESSION.match(body) or (not tagged and _COMMAND.match(body)):
            continue
        defined = {name for pair in _NAMES.findall(body) for name in pair} if names else set()
        rank = (
            len(defined.intersection(names)),
            bool(_PRINTS.search(body)),
            tagged,
            reads and bool(_READS.search(body)),
        )
        if best is None or rank >= best:
            best, chosen = rank, body
    return textwrap.dedent(chosen)


def blocks(text: str, *, nested: bool = False) -> Iterator[tuple[str, str]]:
    """The language and the content of each closed code block, in linear time for any text.

    nested: the text is the content of a block, whose own blocks are not searched for others.
    """
    fence, language = "", ""
    lines: list[str] = []
    for line in text.split("\n"):
        word = line.strip()
        opened = _FENCE.match(word) if word[:3] in ("```", "~~~") else None
        if not fence:
            if opened and not (word[0] == "`" and "`" in opened[2]):
                fence, lines = opened[1], []
                language = " ".join(opened[2].lower().split()[:1])
        elif opened and not opened[2] and opened[1].startswith(fence):
            body = "".join(f"{each}\n" for each in lines)
            inner = [] if nested or language not in _MARKDOWN else list(blocks(body, nested=True))
            yield from inner or [(language, body)]
            fence = ""
        else:
            lines.append(line)
