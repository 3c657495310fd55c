"""The rows of evaluations as tables; shares are in per cent."""

from typing import Any

from ..tables import Table

Rows = list[dict[str, Any]]
SIGNIFICANT = 0.05  # the p below which a difference has a colour, our choice


def evaluation(rows: Rows, before: dict[str, float] | None, missed: set[str]) -> Table:
    """A row per group, beside the accuracies of an earlier run. missed: groups below a minimum."""
    earlier = [] if before is None else ["before"]
    columns = ["group", "n", *earlier, "accuracy", "95% interval", "guessing", "tokens", "cut"]
    table = Table(columns, optional=["cut", "tokens", "guessing"])
    for row in rows:
        if before is not None:
            known = before.get(row["group"])
            earlier = ["-" if known is None else f"{100 * known:.1f}"]
        table.row(
            row["group"],
            f"{row['records']:,}",
            *earlier,
            f"{100 * row['accuracy']:.1f}",
            _interval(row, "{:.1f} to {:.1f}"),
            "-" if row["guessing"] is None else f"{100 * row['guessing']:.1f}",
            "-" if row["tokens"] is None else f"{row['tokens']:.1f}",
            f"{row['cut']:,}",
            style="red" if row["group"] in missed else "",
        )
    return table


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
