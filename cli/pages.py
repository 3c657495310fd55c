"""The manual pages of commands, as troff, from the objects that parse and print --help."""

from typing import Any

import typer

from .help import options_by_title

EXIT_STATUS = {
    0: "Success, or the reader of standard output had enough.",
    1: "A bug; the traceback is on standard error.",
    2: "Bad usage or bad input; one line on standard error says where, what, and what to do.",
    3: "The data failed the check that the command makes.",
    4: "An endpoint or engine failed after all retries; finished work is kept.",
    130: "Interrupted; 143: terminated; 129: the terminal was closed.",
}
RESUMES = " Continue with --resume."
ASKS = {"--endpoint", "--judge", "--reward-model", "--text-endpoint"}  # options that name a server


def pages() -> dict[str, str]:
    """File name -> troff, for every command."""
    from .main import COMMANDS

    return {f"qvl-{name.replace(' ', '-')}.1": page(name) for name in COMMANDS}


def load(name: str) -> Any:
    """A command as typer parses it."""
    from .main import app

    group: Any = typer.main.get_command(app)
    return group.get_command(None, name)


def page(name: str) -> str:
    """The troff source of one command's page."""
    command = load(name)
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
    out += _entries([each for each in command.params if each.param_type_name == "argument"])
    for title, options in options_by_title(command.params).items():
        out += [] if title == "Options" else [f'.SS "{title}"']
        out += _entries(options)
    if examples:
        out += [".SH EXAMPLES", ".EX"]
        out += [_escape(line.strip()) for line in examples.splitlines() if line.strip()]
        out += [".EE"]
    out += [".SH EXIT STATUS"]
    for status, meaning in exit_statuses(command).items():
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


def exit_statuses(command: Any) -> dict[int, str]:
    """What a command can end with: 3 where its help says so, 4 where it sends requests."""
    found = dict(EXIT_STATUS)
    options = {name for param in command.params for name in param.opts}
    texts = [command.help or "", *(param.help or "" for param in command.params)]
    words = " ".join(" ".join(texts).split())
    if "status 3" not in words and "status is 3" not in words:
        del found[3]
    if not options & ASKS:
        del found[4]
    if "--resume" in options:
        found[130] += RESUMES
    return found


def _entries(params: list[Any]) -> list[str]:
    out: list[str] = []
    for param in params:
        name, text = _entry(param)
        out += [".TP", f".B {_escape(name)}", _escape(text)]
    return out


def _entry(param: Any) -> tuple[str, str]:
    if param.param_type_name == "argument":
        return param.metavar or param.name.upper(), param.help or ""
    names = ", ".join([*param.opts, *param.secondary_opts])
    value = "" if param.is_flag else f" {param.metavar or param.name.upper()}"
    shown = param.show_default and not param.is_flag and param.default not in (None, "")
    return names + value, (param.help or "") + (f" [default: {param.default}]" if shown else "")


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
