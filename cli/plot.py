from pathlib import Path
from typing import Annotated

import typer

from qvl.errors import UserError
from qvl.plot import logs

from .tables import Table, console, is_utf8


def command(
    log: Annotated[
        list[str],
        typer.Argument(metavar="LOG...", help="log.jsonl of a run, or the folder that holds it"),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Metric to draw, or a pattern such as 'pass_rate/*'; repeatable; by default the usual "
            "ones (our choice)",
        ),
    ] = None,
    x: Annotated[
        str, typer.Option("--x", metavar="|".join(logs.AXES), help="What the curves are drawn over")
    ] = "step",
    smooth: Annotated[
        int, typer.Option(metavar="N", min=1, help="Draw the mean of the last N points")
    ] = 1,
    log_y: Annotated[bool, typer.Option("--log-y", help="Draw on a logarithmic scale")] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write a .png or .svg instead"),
    ] = None,
    show_list: Annotated[
        bool, typer.Option("--list", help="Print each metric and its last value in each run")
    ] = False,
) -> None:
    """Draw the logs of training runs, several over each other.

    Reads the log.jsonl of qvl sft and qvl rl sapo; a run may be going on. Draws a chart per metric in the
    terminal, with a colour per run, or with a letter per run where there is no colour. By default these
    are the loss, the learning rate and their like, or the reward, the accuracy of evaluations and their
    like of reinforcement learning.

    Examples:
        $ qvl plot log.jsonl
        $ qvl plot --metric loss --metric lr --smooth 2 log.jsonl
        $ qvl plot --x tokens log.jsonl -o curves.svg
        $ qvl plot --list log.jsonl
    """
    if x not in logs.AXES:
        raise UserError(f"--x {x}: expected {', '.join(logs.AXES)}")
    runs = logs.read_all(log)
    metrics = logs.chosen(runs, metric or ())
    if output is not None:
        from qvl.plot import figure

        figure.write(output, runs, metrics, axis=x, smooth=smooth, log_y=log_y)
        return
    if show_list:
        _print_list(runs, logs.chosen(runs, metric or ["*"]))
        return
    from qvl.plot import terminal

    out = console()
    plain = out.no_color or not out.is_terminal
    dots = is_utf8() and (len(runs) == 1 or not plain)
    for line in terminal.charts(
        runs, metrics, axis=x, smooth=smooth, log_y=log_y, width=out.width, dots=dots
    ):
        out.print(line, soft_wrap=True)


def _print_list(runs: list[logs.Run], metrics: list[str]) -> None:
    table = Table(["metric", *(run.name for run in runs)])
    for name in metrics:
        last = [run.points(name)[-1:] for run in runs]
        table.row(name, *(f"{points[0][1]:.6g}" if points else "" for points in last))
    table.print()
