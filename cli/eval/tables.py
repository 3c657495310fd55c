"""The rows of evaluations as tables; shares are in per cent."""

from typing import Any

from qvl.evaluate.compare import SIGNIFICANT
from qvl.evaluate.metrics import ALL, Share, Summary

from ..tables import Table

Rows = list[dict[str, Any]]


def evaluation(rows: Rows, before: dict[str, Share] | None, missed: set[str]) -> Table:
    """A row per group, beside the accuracies of an earlier run. missed: groups below a minimum."""
    earlier = [] if before is None else ["before"]
    penalties = list(rows[0].get("penalties", ())) if rows else []
    columns = ["group", "n", *earlier, "accuracy", "95% interval", "guessing", "tokens", "cut"]
    table = Table([*columns, *penalties], optional=["cut", "tokens", "guessing"])
    for row in rows:
        if before is not None:
            known = before.get(row["group"])
            earlier = ["-" if known is None else f"{100 * known.value:.1f}"]
        table.row(
            row["group"],
            f"{row['records']:,}",
            *earlier,
            f"{100 * row['accuracy']:.1f}",
            _interval(row, "{:.1f} to {:.1f}"),
            "-" if row["guessing"] is None else f"{100 * row['guessing']:.1f}",
            "-" if row["tokens"] is None else f"{row['tokens']:.1f}",
            f"{row['cut']:,}",
            *(f"{100 * row['penalties'][name]['share']:.1f}" for name in penalties),
            style="red" if row["group"] in missed else "",
        )
    return table


def side_by_side(runs: dict[str, Summary]) -> list[Table]:
    """Tables with a column per run: of the accuracies, of the tokens, and of each penalty that is not 0
    everywhere. A share has half the width of its interval beside it."""
    found = [_figures("accuracy, %", {name: _shares(run.accuracy) for name, run in runs.items()})]
    lengths = {
        name: {group: f"{number:.1f}" for group, number in run.tokens.items()}
        for name, run in runs.items()
    }
    found.append(_figures("tokens per response", lengths))
    for penalty in dict.fromkeys(name for run in runs.values() for name in run.penalties):
        rates = {name: run.penalties.get(penalty, {}) for name, run in runs.items()}
        bad = {group for shares in rates.values() for group, share in shares.items() if share.value}
        cells = {
            name: _shares({group: share for group, share in shares.items() if group in bad})
            for name, shares in rates.items()
        }
        found.append(_figures(f"penalty for {penalty}, %", cells))
    return [table for table in found if table.rows]


def _figures(title: str, cells: dict[str, dict[str, str]]) -> Table:
    """A row per group, the whole last, and a column per run."""
    groups = dict.fromkeys(group for column in cells.values() for group in column)
    table = Table([title, *cells])
    for group in sorted(groups, key=ALL.__eq__):
        table.row(group, *(column.get(group, "-") for column in cells.values()))
    return table


def _shares(shares: dict[str, Share]) -> dict[str, str]:
    found = {}
    for group, (share, interval) in shares.items():
        half = "" if interval is None else f" ±{50 * (interval[1] - interval[0]):.1f}"
        found[group] = f"{100 * share:.1f}{half}"
    return found


def comparison(rows: Rows) -> Table:
    """A row per group; differences are in points, and coloured where they are no chance."""
    columns = ["group", "n", "before", "after", "change", "95% interval", "better", "worse", "p"]
    table = Table(columns, optional=["worse", "better", "95% interval"])
    for row in rows:
        colour = "green" if row["difference"] > 0 else "red"
        table.row(
            row["group"],
            f"{row['records']:,}",
            f"{100 * row['before']:.1f}",
            f"{100 * row['after']:.1f}",
            f"{100 * row['difference']:+.1f}",
            _interval(row, "{:+.1f} to {:+.1f}"),
            f"{row['better']:,}",
            f"{row['worse']:,}",
            f"{row['p']:.2g}",
            style=colour if row["p"] < SIGNIFICANT else "",
        )
    return table


def _interval(row: dict[str, Any], form: str) -> str:
    if row["interval"] is None:
        return "-"
    return form.format(*(100 * end for end in row["interval"]))
