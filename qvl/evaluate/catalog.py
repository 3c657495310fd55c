"""The benchmarks: a small TOML file each, in benchmarks/ or of the user."""

import tomllib
from dataclasses import fields
from functools import cache
from pathlib import Path

from qvl.errors import UserError
from qvl.evaluate.benchmark import Benchmark
from qvl.evaluate.measures import MEASURES
from qvl.evaluate.questions import KINDS, ROLES

FOLDER = Path(__file__).parent / "benchmarks"


@cache
def names() -> list[str]:
    """The names of the built-in benchmarks."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def path(name: str) -> Path:
    """The file of a benchmark by name, or of one of the user's by its path."""
    return Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"


@cache
def load(name: str) -> Benchmark:
    """A built-in benchmark by name, or one of the user's by the path of its TOML file. UserError without one."""
    file = path(name)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"no benchmark {name!r}; there are {', '.join(names())}, or give a file NAME.toml"
        ) from None
    try:
        facts = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file}: {error}") from None
    return _of(file, facts)


def _of(path: Path, facts: dict) -> Benchmark:
    """The benchmark of a file's content. UserError for a key that is unknown, missing or of another type."""
    known = {each.name: each for each in fields(Benchmark)}
    for key, value in facts.items():
        if key not in known or key == "name":
            raise UserError(f"{path}: unknown key {key!r}; the keys are {', '.join(known)}")
        wanted = {"columns": dict, "keep": list, "sampling": dict}.get(key, str)
        if not isinstance(value, wanted):
            raise UserError(f"{path}: {key}: expected a {wanted.__name__}, got {value!r}")
    missing = {"title", "paper", "kind"} - facts.keys()
    if missing:
        raise UserError(f"{path}: no {', '.join(sorted(missing))}")
    for key, table in (("kind", KINDS), ("metric", MEASURES)):
        if key in facts and facts[key] not in table:
            raise UserError(f"{path}: {key} {facts[key]!r}: expected one of {', '.join(table)}")
    unknown = facts.get("columns", {}).keys() - ROLES.keys()
    if unknown:
        raise UserError(f"{path}: columns: expected {', '.join(ROLES)}, got {', '.join(unknown)}")
    return Benchmark(name=path.stem, **facts)
