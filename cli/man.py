"""Man pages from the same typer objects that parse and print --help; man/ holds the output."""

from pathlib import Path
from typing import Annotated, Any

import typer

EXIT_STATUS = {
    0: "Success, or the reader of standard output had enough.",
    1: "A bug: the traceback is on standard error.",
    2: "Bad usage or bad input: one line on standard error says where, what, and what to do.",
    3: "The data failed the check that the command makes.",
    4: "An endpoint or engine failed after its retries; what was done is kept.",
    130: "Interrupted; 143: terminated. Both leave a state that --resume continues.",
}


def pages() -> dict[str, str]:
    """File name -> troff, for every command."""
    from .main import COMMANDS, app

    root: Any = typer.main.get_command(app)
    pages = {}
    for name in COMMANDS:
        command = root
        for word in name.split():
            command = command.get_command(None, word)
        pages[f"qvl-{name.replace(' ', '-')}.1"] = page(name, command)
    return pages


def page(name: str, command: Any) -> str:
    """The troff source of one command's page."""
    summary, _, body = (command.help or "").partition("\n\n")
    body, _, examples = body.partition("Examples:\n")
    context = typer.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    title = f"qvl-{name.replace(' ', '-')}"
    out = [
        f'.TH {_escape(title.upper())} 1 "" "qvl" "User Commands"',
        ".SH NAME",
        f"{_escape(title)} \\- {_escape(' '.join(summary.split()).rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B qvl {_escape(name)}",
        f".I {_escape(usage)}",
    ]
    if text := body.replace("\b", "").strip():
        out += [".SH DESCRIPTION", *_paragraphs(text)]
    out += [".SH OPTIONS"]
    for param in command.params:
        if entry := _option(param):
            out += [".TP", f".B {_escape(entry[0])}", _escape(entry[1])]
    if examples:
        out += [".SH EXAMPLES", ".EX"]
        out += [_escape(line.strip()) for line in examples.splitlines() if line.strip()]
        out += [".EE"]
    out += [".SH EXIT STATUS"]
    for status, meaning in EXIT_STATUS.items():
        out += [".TP", f".B {status}", _escape(meaning)]
    return "\n".join(
        [
            *out,
            ".SH SEE ALSO",
            ".BR qvl (7),",
            ".BR qvl\\-records (5),",
            ".BR qvl\\-streams (5)",
            "",
        ]
    )


def _option(param: Any) -> tuple[str, str] | None:
    if param.param_type_name == "argument":
        return param.metavar or param.name.upper(), param.help or ""
    if param.hidden:
        return None
    names = ", ".join([*param.opts, *param.secondary_opts])
    value = "" if param.is_flag else f" {param.metavar or param.name.upper()}"
    default = "" if param.is_flag or param.default in (None, "") else f" [default: {param.default}]"
    return names + value, (param.help or "") + default


def _paragraphs(text: str) -> list[str]:
    out: list[str] = []
    for paragraph in text.split("\n\n"):
        lines = [line.rstrip() for line in paragraph.splitlines()]
        table = any(line.startswith("  ") for line in lines)
        out += [".PP"] if out else []
        out += [".EX", *map(_escape, lines), ".EE"] if table else list(map(_escape, lines))
    return out


def _escape(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "\n".join("\\&" + t if t.startswith(".") else t for t in text.splitlines())


def command(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Write the pages here")] = Path(
        "man"
    ),
) -> None:
    """Write the man page of every command.

    Run this after changing a command's help; a test fails until you do. The pages qvl(7),
    qvl-records(5) and qvl-streams(5) are written by hand and left alone.

    \b
    Examples:
        $ qvl man pages && man -l pages/qvl-cat.1 | head -5
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text)
