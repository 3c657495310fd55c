"""What `--help` prints: paragraphs at the terminal's width, tables and examples as they are written,
options under the title of their group."""

import inspect
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from typer.core import TyperCommand, TyperGroup

SETTINGS = {
    "max_content_width": 1 << 16,  # what the terminal has, not 80 at most
    "help_option_names": ["-h", "--help"],
}
KEEP_LINES = "\b\n"  # before a paragraph, to typer's formatter
NAMES = {  # an option whose values are the keys of a table -> the table
    "--verifier": "qvl.reward:REWARDS",
    "--from": "qvl.formats:FORMATS",
    "--to": "qvl.formats:FORMATS",
}
CHOICES = re.compile(r"[a-z][\w-]*(\|[a-z][\w-]*)+")
UNBROKEN = "\u2011"  # stands for a hyphen while lines are broken: --max-tokens stays in one piece


def formatted(text: str) -> str:
    """A help text for typer's formatter: a paragraph with an indented line keeps its lines."""
    paragraphs = text.replace(KEEP_LINES, "").replace("-", UNBROKEN).split("\n\n")
    return "\n\n".join(KEEP_LINES + each if "\n  " in each else each for each in paragraphs)


def write_text(text: str | None, formatter: Any) -> None:
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(formatted(inspect.cleandoc(text or "")))


def options_by_title(params: list[Any]) -> dict[str, list[Any]]:
    """A command's options by the title of their group, its own first."""
    titles: dict[str, list[Any]] = {"Options": []}
    for param in params:
        if param.param_type_name == "option" and not param.hidden:
            titles.setdefault(param.rich_help_panel or "Options", []).append(param)
    return {title: found for title, found in titles.items() if found}


class Command(TyperCommand):
    """A command whose help has a section for each group of options."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        write_text(self.help, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        params = self.get_params(ctx)
        sections = {"Arguments": [each for each in params if each.param_type_name == "argument"]}
        sections |= options_by_title(params)
        for title, found in sections.items():
            rows = [row for each in found if (row := each.get_help_record(ctx))]
            if rows:
                with formatter.section(title):
                    formatter.write_dl([(name, text.replace("-", UNBROKEN)) for name, text in rows])

    def get_help(self, ctx: Any) -> str:
        return super().get_help(ctx).replace(UNBROKEN, "-")


def complete_values(command: Any, seconds: Sequence[str] = ()) -> None:
    """Let a shell complete the values of options that name them, as in --on-error stop|reject, the names
    of verifiers and formats, and the second words of commands (`seconds`) such as eval compare."""
    arguments = [each for each in command.params if each.param_type_name == "argument"]

    def second_words(ctx: Any, param: Any, incomplete: str) -> list[str]:
        # All of them would hide the names of files, which the shell completes if there is none.
        return [each for each in seconds if incomplete and each.startswith(incomplete)]

    for param in command.params:
        if param.param_type_name == "option" and (
            CHOICES.fullmatch(param.metavar or "") or NAMES.keys() & set(param.opts)
        ):
            param._custom_shell_complete = _values
        elif seconds and param is arguments[0]:
            param._custom_shell_complete = second_words


def _values(ctx: Any, param: Any, incomplete: str) -> list[str]:
    table = next((NAMES[option] for option in param.opts if option in NAMES), None)
    if table:
        module, name = table.split(":")
        names = list(getattr(import_module(module), name))
        names += ["auto"] if "--from" in param.opts else []
    else:
        names = param.metavar.split("|")
    return [name for name in names if name.startswith(incomplete)]


class Group(TyperGroup):
    """A group of commands; its help keeps tables as a command's does."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        write_text(self.help, formatter)

    def get_help(self, ctx: Any) -> str:
        return super().get_help(ctx).replace(UNBROKEN, "-")
