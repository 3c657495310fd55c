"""The text and the tables of a document in HTML, QwenVL-HTML, Markdown, LaTeX tables, or a mixture.

A table is an HTML <table>, a Markdown table with pipes, or a LaTeX tabular. Positions (data-bbox),
comments, styles and pictures are left out; formulas stay as they are written.

Own code, because a response is a mixture with formulas and may be broken on purpose: html.parser takes
the < of "x<y</table>" for a tag and loses the end of the table, and 160 kB of "<!--" take it 20 s, while
this scan is linear. lxml would be one more compiled dependency, and would still leave Markdown and LaTeX.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from qvl.reward.reading.emphasis import without_marks


class Cell(NamedTuple):
    text: str
    columns: int = 1
    rows: int = 1


Table = list[list[Cell]]


@dataclass
class Document:
    text: list[str] = field(default_factory=list)
    """Lines outside the tables, in order."""
    tables: list[Table] = field(default_factory=list)


_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s[^<>]*)?)>")
_SPAN = re.compile(r"\b(col|row)span\s*=\s*[\"']?(\d{1,3})")
# fmt: off
_BLOCKS = {
    "p", "div", "br", "li", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "section", "body", "html", "hr",
    "pre", "blockquote", "figure", "figcaption", "dt", "dd", "header", "footer",
}
# fmt: on
_PIPES = re.compile(r"\s*\|.*\|\s*")
_RULE = re.compile(r"\s*\|(?:\s*:?-+:?\s*\|)+\s*")
_SPLIT = re.compile(r"(?<!\\)\|")
_TABULAR = ("\\begin{tabular}", "\\end{tabular}")
_LEAD = re.compile(r"^\s*(?:#{1,6}\s+|>\s?|[-*+]\s+)+")
_PICTURE = re.compile(r"!\[[^\[\]]*\]\([^()\s]*\)")
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()\s]*\)")


def read(text: str) -> Document:
    """Return the text and the tables of a document."""
    document = Document()
    for piece, is_table in _html(_without(_without(text, "<!--", "-->"), "<style", "</style>")):
        if is_table:
            table = _html_table(piece)
            if table:
                document.tables.append(table)
        else:
            _read_plain(piece, document)
    return document


def _without(text: str, begin: str, end: str) -> str:
    """A text without the parts from `begin` to `end`; a missing `end` means the end of the text."""
    kept, at = [], 0
    while (start := text.find(begin, at)) >= 0:
        kept.append(text[at:start])
        close = text.find(end, start + len(begin))
        if close < 0:
            return "".join(kept)
        at = close + len(end)
    return "".join([*kept, text[at:]])


def _html(text: str) -> Iterator[tuple[str, bool]]:
    """Pieces (text, is_table): the content of the outermost <table> elements, and the text around them.

    Tags inside a piece are kept.
    """
    depth, at = 0, 0
    for tag in _TAG.finditer(text):
        if tag[2].lower() != "table":
            continue
        if not tag[1]:
            if depth == 0:
                yield text[at : tag.start()], False
                at = tag.end()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                yield text[at : tag.start()], True
                at = tag.end()
    yield text[at:], depth > 0


def _html_table(text: str) -> Table:
    """The rows of a table; text outside of its cells is added to the cell before."""
    rows: Table = []
    at, attributes = 0, None

    def close(end: int) -> None:
        if attributes is not None:
            spans = {name: int(number) for name, number in _SPAN.findall(attributes)}
            content = _plain(_TAG.sub(" ", text[at:end]))
            rows[-1].append(Cell(content, spans.get("col", 1), spans.get("row", 1)))

    for tag in _TAG.finditer(text):
        name, opens = tag[2].lower(), not tag[1]
        if name not in ("tr", "td", "th"):
            continue
        close(tag.start())
        attributes = None
        if opens and (name == "tr" or not rows):
            rows.append([])
        if opens and name != "tr":
            at, attributes = tag.end(), tag[3]
    close(len(text))
    return [row for row in rows if row]


def _read_plain(text: str, document: Document) -> None:
    """Add the lines and the LaTeX and Markdown tables of a text without HTML tables to the document."""
    begin, end = _TABULAR
    at = 0
    while (start := text.find(begin, at)) >= 0:
        stop = text.find(end, start)
        stop = len(text) if stop < 0 else stop
        _read_lines(text[at:start], document)
        table = _latex_table(text[start + len(begin) : stop])
        if table:
            document.tables.append(table)
        at = stop + len(end)
    _read_lines(text[at:], document)


def _latex_table(text: str) -> Table:
    if text.startswith("{"):  # the column specification
        text = text.partition("}")[2]
    text = re.sub(r"\\(?:hline|toprule|midrule|bottomrule)\b|\\cline\{[^{}]*\}", " ", text)
    rows = [row for row in text.split("\\\\") if row.strip()]
    return [[Cell(_plain(cell)) for cell in re.split(r"(?<!\\)&", row)] for row in rows]


def _read_lines(text: str, document: Document) -> None:
    text = _TAG.sub(lambda tag: "\n" if tag[2].lower() in _BLOCKS else "", text)
    pipes: list[str] = []
    for line in [*text.split("\n"), ""]:
        if len(line) > 1 and _PIPES.fullmatch(line):
            pipes.append(line)
            continue
        if pipes:
            _close_pipes(pipes, document)
            pipes = []
        plain = _plain(_LEAD.sub("", line))
        if plain and not re.fullmatch(r"[-*_=]{3,}|```\w*", line.strip()):
            document.text.append(plain)


def _close_pipes(lines: list[str], document: Document) -> None:
    """Add lines with pipes to the document: a table if one of them is a rule of dashes, else text."""
    if any(_RULE.fullmatch(line) for line in lines):
        rows = [line.strip()[1:-1] for line in lines if not _RULE.fullmatch(line)]
        table = [[Cell(_plain(cell)) for cell in _SPLIT.split(row)] for row in rows]
        if table:
            document.tables.append(table)
    else:
        document.text += [plain for line in lines if (plain := _plain(line))]


def _plain(text: str) -> str:
    """A text without marks of emphasis, links and pictures, with single spaces."""
    text = html.unescape(_LINK.sub(r"\1", _PICTURE.sub(" ", text)))
    return " ".join(without_marks(text).split())
