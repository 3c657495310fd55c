"""The tables that end evaluations: in a pipe, and on a terminal."""

import io

import pytest

from qvl.evaluate.metrics import Share


@pytest.fixture
def tables(command_module):
    return command_module("eval compare").tables


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def row(group, accuracy, **more):
    return {"group": group, "records": 1200, "accuracy": accuracy, "interval": (0.0, 1.0), "guessing": None,
            "tokens": 2.5, "cut": 0, **more}  # fmt: skip


def printed(table, to=None):
    to = to or io.StringIO()
    table.print(to)
    return to.getvalue().splitlines()


def test_an_evaluation_is_aligned_and_an_earlier_run_stands_beside(tables):
    rows = [row("a", 0.9), row("long name", 1.0, interval=None, guessing=0.1)]
    lines = printed(tables.evaluation(rows, None, set()))
    assert len({len(line) for line in lines}) == 1
    assert [" ".join(line.split()) for line in lines] == [
        "group n accuracy 95% interval guessing tokens cut",
        "a 1,200 90.0 0.0 to 100.0 - 2.5 0",
        "long name 1,200 100.0 - 10.0 2.5 0",
    ]
    lines = printed(tables.evaluation(rows, {"a": Share(0.125, None)}, set()))
    assert lines[1].split()[:3] == ["a", "1,200", "12.5"]
    assert lines[2].split()[:4] == ["long", "name", "1,200", "-"]


def test_a_group_below_its_minimum_is_red_on_a_terminal_and_figures_outlast_columns(
    tables, monkeypatch
):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    lines = printed(tables.evaluation([row("a", 0.9), row("b", 0.2)], None, {"b"}), Terminal())
    assert [("31m" in line) for line in lines] == [False, False, True]
    assert "0.0 to 100.0" in lines[1] and "guessing" not in lines[0]
    monkeypatch.setenv("NO_COLOR", "1")
    lines = printed(tables.evaluation([row("b", 0.2)], None, {"b"}), Terminal())
    assert not any("\x1b[3" in line for line in lines)


def test_a_difference_that_is_no_chance_has_a_colour(tables, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    rows = [
        {"group": name, "records": 9, "before": 0.5, "after": 0.5 + change, "difference": change, "interval": None,
         "better": 1, "worse": 0, "p": p}
        for name, change, p in (("up", 0.1, 0.01), ("down", -0.1, 0.01), ("same", 0.1, 0.5))
    ]  # fmt: skip
    _, up, down, same = printed(tables.comparison(rows), Terminal())
    assert "32m" in up and "31m" in down and "[3" not in same
    assert "+10.0" in up and "-10.0" in down
