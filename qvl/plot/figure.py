"""Charts of runs as PNG or SVG, with matplotlib."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

from qvl.errors import UserError, need
from qvl.io import atomic
from qvl.plot.logs import Run, smoothed

SUFFIXES = (".png", ".svg")
COLUMNS = 2  # charts side by side
SIZE = (5.2, 3.0)  # inches of a chart
DPI = 150
# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def write(
    path: Path,
    runs: Sequence[Run],
    metrics: Sequence[str],
    *,
    axis: str = "step",
    smooth: int = 1,
    log_y: bool = False,
) -> None:
    """Write the charts, whole or not at all. UserError for a name that is neither .png nor .svg.

    Where curves are smoothed, what they were stands faintly behind them.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}")
    figures = need("matplotlib.figure", extra="plot")
    need("matplotlib.backends.backend_agg", extra="plot")
    matplotlib = need("matplotlib", extra="plot")
    across = min(COLUMNS, len(metrics))
    down = math.ceil(len(metrics) / across)
    style = {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#888888",
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "grid.color": "#e8e8e8",
        "font.size": 9,
        "svg.hashsalt": "qvl",  # the same plot is the same bytes
        "svg.fonttype": "none",
        "text.parse_math": False,  # a name with dollars is a name
    }
    with matplotlib.rc_context(style):
        figure = figures.Figure(figsize=(SIZE[0] * across, SIZE[1] * down), layout="constrained")
        places = figure.subplots(down, across, squeeze=False).flatten()
        for place in places[len(metrics) :]:
            place.set_visible(False)
        for place, metric in zip(places, metrics, strict=False):
            for number, run in enumerate(runs):
                points = run.points(metric, axis)
                if not points:
                    continue
                colour = COLOURS[number % len(COLOURS)]
                if smooth > 1:
                    place.plot(*zip(*points, strict=True), color=colour, alpha=0.25, linewidth=0.8)
                marker = "o" if len(points) == 1 else None
                curve = smoothed(points, smooth)
                place.plot(
                    *zip(*curve, strict=True),
                    color=colour,
                    linewidth=1.6,
                    marker=marker,
                    label=run.name,
                )
            place.set_title(metric)
            if log_y:
                place.set_yscale("log")
        for place in places[max(0, len(metrics) - across) : len(metrics)]:
            place.set_xlabel(axis)
        if len(runs) > 1:
            handles = [
                matplotlib.lines.Line2D(
                    [], [], color=COLOURS[number % len(COLOURS)], label=run.name
                )
                for number, run in enumerate(runs)
            ]
            figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
        content = io.BytesIO()
        kind = path.suffix[1:].lower()
        metadata = {"Date": None} if kind == "svg" else {"Software": "qvl"}
        figure.savefig(content, format=kind, dpi=DPI, metadata=metadata)
    try:
        atomic.write(path, content.getvalue())
    except OSError as error:
        raise UserError(f"-o {path}: {error.strerror}") from None
