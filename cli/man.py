import difflib
import pydoc
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from qvl.errors import UserError

WRITTEN = {"qvl": "qvl.7", "records": "qvl-records.5", "streams": "qvl-streams.5"}
WIDEST = 100  # columns: longer lines are hard to read
RAGGED = re.compile("(^[.]TH .*\n)", re.MULTILINE)  # where to turn off justification and hyphens
OVERSTRUCK = re.compile(".\b|\x1b\\[[0-9;]*m")  # how man makes text bold or underlined


def completed(incomplete: str) -> list[str]:
    return [name for name in _files() if name.startswith(incomplete)]


def command(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="A command, such as cat or rl prepare; or qvl, records or streams",
            autocompletion=completed,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Write the page, or without NAME all, as troff"
        ),
    ] = None,
) -> None:
    """Show the manual page of a command, or of qvl itself.

    On a terminal, man(1) shows it in its pager; elsewhere it is plain text, by groff(1). Where
    neither is installed, the page of a command is its --help. Without NAME the page is qvl(7), the
    overview of the recipe; records and streams are the formats, qvl-records(5) and qvl-streams(5).

    With -o DIR, pages are written as troff instead, to DIR/qvl-cat.1 and so on.

    Examples:
        $ qvl man cat
        $ qvl man rl prepare | head -5
        $ qvl man records | grep -A2 format_prompt
        $ qvl man -o pages && man -l pages/qvl-cat.1 | head -5
    """
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for file in [find(name)] if name else _files().values():
            (output / file).write_text(source(file), encoding="utf-8")
    else:
        show(find(name or ["qvl"]))


def find(words: list[str]) -> str:
    """The file of a page by its name, in any of its spellings: rl prepare, qvl-rl-prepare(1)."""
    asked = " ".join(words)
    bare = re.sub(r"\(\d\)$|\.\d$", "", asked)
    files = _files()
    for spelling in (bare, bare.removeprefix("qvl-").removeprefix("qvl ")):
        for name, file in files.items():
            if name.replace("-", " ") == spelling.replace("-", " "):
                return file
    members = [name for name in files if name.startswith(f"{bare} ")]
    near = members or difflib.get_close_matches(bare, files, 1)
    hint = f"did you mean {' or '.join(near)}?" if near else "qvl --help lists the commands"
    raise UserError(f"no manual page {asked!r}; {hint}")


def source(file: str) -> str:
    """The troff of a page: of a command from its options, else as it was written by hand."""
    if file in WRITTEN.values():
        return _path(file).read_text(encoding="utf-8")
    from .pages import page

    return page(next(name for name, other in _files().items() if other == file))


def show(file: str) -> None:
    """The page in man's pager on a terminal, as plain text elsewhere."""
    troff = source(file)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_text(troff, encoding="utf-8")
        if sys.stdout.isatty() and shutil.which("man"):
            subprocess.run(["man", path], check=False)
            return
        path.write_text(RAGGED.sub(r"\1.ad l\n.nh\n", troff, count=1), encoding="utf-8")
        text = _formatted(path)
    if sys.stdout.isatty():
        pydoc.pager(text)
    else:
        sys.stdout.write(text)
        sys.stdout.flush()


def _formatted(path: Path) -> str:
    width = min(shutil.get_terminal_size().columns, WIDEST)
    if shutil.which("groff"):
        plain = ("-Tutf8", "-P-cbou", f"-rLL={width - 2}n")
        words = ["groff", "-t", "-man", "-Kutf8", *plain, path]
    elif shutil.which("man"):
        words = ["man", path]
    elif path.name not in WRITTEN.values():
        from .pages import load

        name = next(name for name, file in _files().items() if file == path.name)
        return typer.Context(load(name), info_name=f"qvl {name}").get_help() + "\n"
    else:
        raise UserError(f"{path.name} needs groff or man to be shown; see {_path(path.name)}")
    done = subprocess.run(words, capture_output=True, check=True, encoding="utf-8")
    return OVERSTRUCK.sub("", done.stdout)


def _files() -> dict[str, str]:
    """Name -> file, of every page."""
    from .main import COMMANDS

    return {**WRITTEN, **{name: f"qvl-{name.replace(' ', '-')}.1" for name in COMMANDS}}


def _path(file: str) -> Path:
    """Where a page written by hand is: in the checkout, or where the wheel has put it."""
    beside = Path(__file__).parent.parent / "man" / file
    if beside.exists():
        return beside
    for found in metadata.files("qvl") or []:
        if found.name == file:
            return Path(str(found.locate()))
    raise UserError(f"{file} is not installed; reinstall qvl")
