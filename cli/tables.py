"""Tables of results: on a terminal with rich, coloured where a colour says something; plain in a pipe.

In a pipe a table is text with two spaces between columns, without colour, whatever the width of a
terminal; rich is then not even imported. On a narrow terminal bars and optional columns are left out, and
names are cut; figures never are.
"""

import os
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple, TextIO

GAP = 2
PLAIN_NAMES = 40  # characters of a name in a pipe; longer ones are cut
LEAST_NAMES = 16  # characters of a name on a narrow terminal, before columns are left out
BAR = 24  # characters of the longest bar
FULL, PARTS = "\u2588", "\u258f\u258e\u258d\u258c\u258b\u258a\u2589"  # eighths of a block
BAR_STYLE = "cyan"


class Row(NamedTuple):
    cells: tuple[str, ...]
    share: float | None
    """Length of the bar, 1 for the longest."""
    style: str


class Table:
    """Rows of a name and figures. The first column is left-aligned, the others right-aligned."""

    def __init__(
        self, columns: Sequence[str], title: str = "", optional: Sequence[str] = ()
    ) -> None:
        """optional: columns that a narrow terminal does without, the first of them first."""
        self.columns, self.title, self.optional = tuple(columns), title, tuple(optional)
        self.rows: list[Row] = []

    def row(self, *cells: str, share: float | None = None, style: str = "") -> None:
        """Add a row. share: of a bar after the cells. style: rich's, for what the colour says."""
        self.rows.append(Row(tuple(map(printable, cells)), share, style))

    def print(self, file: TextIO | None = None) -> None:
        """Print to a file; by default to standard output."""
        out: TextIO = file or sys.stdout
        if out.isatty():
            self._print_rich(out)
        else:
            out.write(self.plain())

    def plain(self) -> str:
        """The table as text."""
        head = [Row(self.columns, None, "")] if any(self.columns) else []
        rows = [
            Row((cut(row.cells[0], PLAIN_NAMES), *row.cells[1:]), *row[1:]) for row in self.rows
        ]
        widths = self._widths([*head, *rows])
        lines = [self.title] if self.title else []
        for cells, share, _ in [*head, *rows]:
            name = cells[0] + " " * (widths[0] - width_of(cells[0]))
            figures = [
                f"{cell:>{width}}" for cell, width in zip(cells[1:], widths[1:], strict=True)
            ]
            drawn = [bar(share)] if share is not None else []
            lines.append((" " * GAP).join([name, *figures, *drawn]).rstrip())
        return "\n".join(lines) + "\n"

    def _widths(self, rows: list[Row]) -> list[int]:
        columns = zip(*(row.cells for row in rows), strict=True)
        return [max(map(width_of, column)) for column in columns]

    def _print_rich(self, file: TextIO) -> None:
        from rich.table import Table as RichTable
        from rich.text import Text

        out = console(file)
        shown, names, has_bars = self._fit(out.width)
        table = RichTable(
            box=None,
            pad_edge=False,
            show_header=any(self.columns),
            header_style="dim",
            padding=(0, GAP, 0, 0),
        )
        for place in shown:
            table.add_column(
                self.columns[place], justify="right" if place else "left", no_wrap=True
            )
        if has_bars:
            table.add_column("", no_wrap=True)
        for cells, share, style in self.rows:
            name = Text(cut(cells[0], names), style=style)
            line: list[Any] = [name, *(Text(cells[place]) for place in shown[1:])]
            if has_bars:
                line.append(Text(bar(share) if share is not None else "", style=style or BAR_STYLE))
            table.add_row(*line)
        if self.title:
            out.print(Text(self.title, style="bold"))
        out.print(table, soft_wrap=True)

    def _fit(self, width: int) -> tuple[list[int], int, bool]:
        """The columns that a terminal shows, the longest name, and whether there are bars."""
        widths = self._widths([Row(self.columns, None, ""), *self.rows])
        has_bars = any(row.share is not None for row in self.rows)
        shown, dropped = list(range(len(self.columns))), list(self.optional)

        def room() -> int:
            figures = sum(widths[place] + GAP for place in shown[1:])
            return width - figures - (BAR + GAP if has_bars else 0)

        least = min(widths[0], LEAST_NAMES)
        if room() < least:
            has_bars = False
        while room() < least and dropped:
            shown.remove(self.columns.index(dropped.pop(0)))
        return shown, max(room(), 1), has_bars


def console(file: TextIO | None = None) -> Any:
    """rich's console of a file, by default of standard output: without colour in a pipe or with NO_COLOR,
    and as wide as COLUMNS says, or the terminal, or 80 characters."""
    from rich.console import Console

    out: TextIO = file or sys.stdout
    width = None if out.isatty() else int(os.environ.get("COLUMNS") or 0) or 80
    return Console(file=out, highlight=False, markup=False, emoji=False, width=width)


def bar(share: float) -> str:
    """A bar of up to BAR characters, in eighths of one; of # where the output is not UTF-8."""
    if not is_utf8():
        return "#" * max(round(share * BAR), share > 0)
    eighths = max(round(share * BAR * 8), share > 0)
    return FULL * (eighths // 8) + (PARTS[eighths % 8 - 1] if eighths % 8 else "")


def is_utf8() -> bool:
    """Whether standard output can show more than ASCII."""
    return "utf" in (sys.stdout.encoding or "").lower()


def printable(text: str) -> str:
    """A text on one line that cannot control the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def width_of(text: str) -> int:
    """The columns of a text on a terminal, where Chinese characters take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def cut(text: str, most: int) -> str:
    """The text in at most `most` columns; one that is cut ends in dots."""
    if width_of(text) <= most:
        return text
    while text and width_of(text) > most - 3:
        text = text[:-1]
    return text + "..."
