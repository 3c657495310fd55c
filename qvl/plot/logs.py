"""The figures of a run by step, from the log.jsonl of `qvl sft` or `qvl rl sapo`."""

import fnmatch
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from qvl.errors import UserError

NAME = "log.jsonl"
AXES = ("step", "tokens", "seconds")
# What is drawn where no metric is named (our choice): those of a list that a run has, the first 6.
REINFORCEMENT = (
    *("reward", "evaluation/accuracy", "pass_rate", "response_tokens", "entropy", "gap"),
    *("teaching_groups", "grad_norm"),
)
SUPERVISED = ("loss", "evaluation/loss", "grad_norm", "lr", "tokens_per_second", "expert_imbalance")
MOST_CHARTS = 6


@dataclass
class Run:
    """The log of one run. A run that was resumed has each step once, as it was taken last."""

    name: str
    series: dict[str, dict[int, float]] = field(default_factory=dict)
    """By name of the metric: step -> value. A name within a name has a slash, as in rate/format."""
    axes: dict[str, dict[int, float]] = field(default_factory=dict)
    """By name of AXES: step -> what was seen or had passed by then."""
    rejected: list[int] = field(default_factory=list)
    """Steps whose update was not taken."""

    def points(self, metric: str, axis: str = "step") -> list[tuple[float, float]]:
        """(x, value) in the order of x. A step without the axis, as of an evaluation, has that of the
        step before it."""
        values = self.series.get(metric, {})
        if axis == "step":
            return [(float(step), values[step]) for step in sorted(values)]
        known = self.axes.get(axis, {})
        found, x = [], 0.0
        for step in sorted({*values, *known}):
            x = known.get(step, x)
            if step in values:
                found.append((x, values[step]))
        return found


def read(path: str) -> Run:
    """The run of a log, or of the folder that holds one. UserError if there is none.

    The last line of a run that is going on may be half written, and is left out.
    """
    file = Path(path)
    if file.is_dir():
        file /= NAME
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise UserError(
            f"{file}: {error.strerror}; expected a run's folder or its {NAME}"
        ) from None
    run = Run(path)
    for number, line in enumerate(lines, 1):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if number == len(lines) and number > 1:
                break
            raise UserError(f"{file}:{number}: not JSON: {error}") from None
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            raise UserError(f"{file}:{number}: not a line of a training log; expected a step")
        _add(run, row)
    if not run.series:
        raise UserError(f"{file}: no step yet")
    return run


def read_all(paths: Sequence[str]) -> list[Run]:
    """The runs of several logs, named by the parts of their paths that differ."""
    runs = [read(path) for path in paths]
    for run, name in zip(runs, names(paths), strict=True):
        run.name = name
    return runs


def names(paths: Sequence[str]) -> list[str]:
    """A short name per path: the last folders, as many as it takes to tell them apart."""
    parts = []
    for path in paths:
        file = Path(path)
        folder = file.parent if file.name == NAME else file
        parts.append((folder if str(folder) != "." else folder.resolve()).parts)
    for count in range(1, max(map(len, parts), default=1) + 1):
        found = ["/".join(each[-count:]) for each in parts]
        if len(set(found)) == len(set(parts)):
            break
    else:
        found = ["/".join(each) for each in parts]
    seen: dict[str, int] = {}
    for place, name in enumerate(found):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            found[place] = f"{name} ({seen[name]})"
    return found


def chosen(runs: Sequence[Run], patterns: Sequence[str] = ()) -> list[str]:
    """The metrics to draw: those that match a pattern, as pass_rate/*, or the usual ones.

    UserError for a pattern that matches none, with those that there are.
    """
    known = list(dict.fromkeys(name for run in runs for name in run.series))
    if not patterns:
        usual = REINFORCEMENT if "reward" in known else SUPERVISED
        return [name for name in usual if name in known][:MOST_CHARTS] or sorted(known)[
            :MOST_CHARTS
        ]
    found = []
    for pattern in patterns:
        matching = [name for name in known if fnmatch.fnmatchcase(name, pattern)]
        if not matching:
            raise UserError(
                f"--metric {pattern}: not in these logs; they have {', '.join(sorted(known))}"
            )
        found += matching
    return list(dict.fromkeys(found))


def smoothed(points: Sequence[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """The mean of the last `count` points at each of them."""
    if count < 2:
        return list(points)
    found, total = [], 0.0
    for place, (x, value) in enumerate(points):
        total += value
        if place >= count:
            total -= points[place - count][1]
        found.append((x, total / min(place + 1, count)))
    return found


def _add(run: Run, row: dict[str, Any]) -> None:
    step = row["step"]
    if "settings" in row:
        for series in (*run.series.values(), *run.axes.values()):
            for later in [known for known in series if known > step]:
                del series[later]
        run.rejected = [known for known in run.rejected if known <= step]
        return
    if "rejected" in row:
        run.rejected.append(step)
        return
    for name, value in _numbers(row, ""):
        if name != "step":
            run.series.setdefault(name, {})[step] = value
        if name in AXES:
            run.axes.setdefault(name, {})[step] = value


def _numbers(row: dict[str, Any], prefix: str) -> Iterable[tuple[str, float]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}/")
        elif (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        ):
            yield prefix + name, float(value)
