"""The facts of `qvl stats` as tables."""

from collections.abc import Iterator
from typing import Any

from qvl.streams.sketch import QUANTILES
from qvl.streams.stats import MEDIA, MISSING, TURNS

from .tables import Table

SHOWN = 20  # values of a field
TITLES = {
    **{name: f"by {name}" for name in ("task", "source")},
    MEDIA: "by medium",
    "language()": "by language",
    TURNS: "by number of turns",
}


def tables(facts: dict[str, Any]) -> Iterator[Table]:
    """The tables, in the order in which they are printed."""
    total = facts["records"]
    summary = Table(["", "", ""])
    summary.row("records", f"{total:,}", "")
    for name, count in facts["having"].items():
        if count:
            words = name if name == "no tokens" else f"with {name}"
            summary.row(words, f"{count:,}", _percent(count, total))
    yield summary
    for name, values in facts["by"].items():
        if name in TITLES and values.keys() <= {MISSING, "0"}:
            continue  # packs have no turns and no question
        if name == TURNS:
            values = dict(sorted(values.items(), key=lambda each: (len(each[0]), each[0])))
        yield _counts(TITLES.get(name, f"by {name}"), values, total)
    if facts.get("rejects"):
        yield _counts("rejected", facts["rejects"], total, "red")
    if facts.get("rewards"):
        yield _rewards(facts["rewards"])
    for name, bars in facts["histograms"].items():
        if len(bars) > 1:
            yield _histogram(name, bars)
    columns = ["count", "mean", *QUANTILES, "max"]
    sizes = Table(["", *columns], "sizes", ["p99", "p90", "mean"])
    for name, sketch in facts["sizes"].items():
        sizes.row(name, *(_short(sketch[column]) for column in columns))
    if sizes.rows:
        yield sizes


def _counts(title: str, values: dict[str, int], total: int, style: str = "") -> Table:
    table = Table(
        ["", "", ""], title + (f" ({len(values):,} values)" if len(values) > SHOWN else "")
    )
    shown = list(values.items())[:SHOWN]
    most = max(values.values(), default=1)
    for value, count in shown:
        table.row(value, f"{count:,}", _percent(count, total), share=count / most, style=style)
    rest = sum(values.values()) - sum(count for _, count in shown)
    if rest:
        table.row(f"{len(values) - SHOWN:,} more", f"{rest:,}", _percent(rest, total))
    return table


def _rewards(rewards: dict[str, dict[str, float]]) -> Table:
    """The pass rate is the share of judged responses that are right; the last columns count records."""
    columns = ["records", "judged", "reward", "pass rate", "all right", "none right"]
    table = Table(["", *columns], "rewards by task", ["all right", "none right", "judged"])
    for task, each in rewards.items():
        rate = each["pass_rate"]
        table.row(
            task,
            f"{each['records']:,}",
            f"{each['judged']:,}",
            f"{each['mean_reward']:.3f}",
            f"{100 * rate:.1f}%",
            f"{each['all_right']:,}",
            f"{each['none_right']:,}",
            share=rate,
        )
    return table


def _histogram(name: str, bars: list[list[Any]]) -> Table:
    table = Table(["", ""], name)
    most = max(count for _, _, count in bars) or 1
    whole = all(float(edge).is_integer() for low, high, _ in bars for edge in (low, high))
    widths = [max(len(_edge(bar[place])) for bar in bars) for place in (0, 1)]
    for low, high, count in bars:
        upper = high - 1 if whole else high
        start, end = f"{_edge(low):>{widths[0]}}", f"{_edge(upper):>{widths[1]}}"
        table.row(
            start if whole and upper == low else f"{start} - {end}",
            f"{count:,}",
            share=count / most,
        )
    return table


def _edge(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


def _percent(count: int, total: int) -> str:
    return f"{100 * count / max(total, 1):.1f}%"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) or number >= 100 else f"{number:.2f}"
