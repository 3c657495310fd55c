"""Charts of runs as text for a terminal, with rich: a chart per metric, a colour per run."""

import math
from collections.abc import Sequence
from typing import Any

from qvl.plot import braille
from qvl.plot.logs import Run, smoothed

COLOURS = ("cyan", "yellow", "magenta", "green", "red", "blue")
MIN_WIDTH = 56  # characters of a chart, where several stand side by side
GAP = 3
MARGIN = 8  # for the numbers of the axis
HEIGHT = 10  # lines of a chart


def charts(
    runs: Sequence[Run],
    metrics: Sequence[str],
    *,
    axis: str = "step",
    smooth: int = 1,
    log_y: bool = False,
    width: int,
    dots: bool = True,
    height: int = HEIGHT,
) -> list[Any]:
    """What rich prints: rows of charts, then which colour or letter is which run.

    dots: Braille, which needs colour to tell several runs apart; else a letter per run.
    """
    from rich.text import Text

    across = max(1, min(len(metrics), (width + GAP) // (MIN_WIDTH + GAP)))
    each = (width - GAP * (across - 1)) // across
    found: list[Any] = []
    for start in range(0, len(metrics), across):
        blocks = [
            _chart(runs, metric, axis, smooth, log_y, each, height, dots)
            for metric in metrics[start : start + across]
        ]
        for parts in zip(*blocks, strict=True):
            line = Text()
            for place, part in enumerate(parts):
                line.append(" " * GAP if place else "")
                line.append_text(part)
                line.append(" " * (each - part.cell_len if place + 1 < len(parts) else 0))
            line.rstrip()
            found.append(line)
        found.append(Text())
    found += _key(runs, dots)
    return found


def _chart(
    runs: Sequence[Run],
    metric: str,
    axis: str,
    smooth: int,
    log_y: bool,
    width: int,
    height: int,
    dots: bool,
) -> list[Any]:
    from rich.text import Text

    curves = [smoothed(run.points(metric, axis), smooth) for run in runs]
    if log_y:
        curves = [[(x, math.log10(y)) for x, y in points if y > 0] for points in curves]
    title = Text(metric[:width], style="bold")
    every = [point for points in curves for point in points]
    if not every:
        none = Text(" " * MARGIN + "no value above 0", style="dim")
        return [title, none, *[Text() for _ in range(height)]]
    xs, ys = braille.around([x for x, _ in every]), braille.around([y for _, y in every])
    room = width - MARGIN
    rows = braille.draw(curves, xs, ys, room, height, dots=dots)
    labels = {
        round((1 - ys.share(tick)) * (height - 1)): braille.label(10**tick if log_y else tick)
        for tick in braille.ticks(ys, max(2 * height // 5, 2))
    }
    lines = [title]
    for number, row in enumerate(rows):
        line = Text(f"{labels.get(number, ''):>{MARGIN - 2}} ", style="dim")
        line.append("\u2524" if number in labels else "\u2502") if dots else line.append("|")
        for letter, curve in row:
            line.append(
                letter, style=f"not dim {COLOURS[curve % len(COLOURS)]}" if curve >= 0 else ""
            )
        line.rstrip()
        lines.append(line)
    first, last = braille.label(xs.low), f"{axis} {braille.label(xs.high)}"
    space = max(room - len(first) - len(last), 1)
    lines.append(Text(" " * MARGIN + first + " " * space + last, style="dim"))
    return lines


def _key(runs: Sequence[Run], dots: bool) -> list[Any]:
    """Which run is which, and the steps that were not taken."""
    from rich.text import Text

    found = []
    for number, run in enumerate(runs):
        mark = "\u2501\u2501" if dots else braille.LETTERS[number % len(braille.LETTERS)]
        line = Text(mark, style=COLOURS[number % len(COLOURS)])
        line.append(f" {run.name}", style="not bold default")
        if run.rejected:
            steps = ", ".join(map(str, run.rejected[:5])) + (
                ", ..." if len(run.rejected) > 5 else ""
            )
            line.append(f"  steps not taken: {steps}", style="dim")
        found.append(line)
    return found
