"""`qvl`: the table of commands, and the only place that turns an error into an exit status."""

import os
import re
import signal
import sys
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

import qvl
from qvl.errors import Terminated, UserError
from qvl.imports import gc_frozen

from . import help

COMMANDS = {  # name -> module in this folder, in the order of the recipe
    "cat": "cat",
    "check": "check",
    "stats": "stats",
    "select": "select",
    "mix": "mix",
    "shuffle": "shuffle",
    "split": "split",
    "dedup": "dedup",
    "decontaminate": "decontaminate",
    "convert": "convert",
    "filter-queries": "filter_queries",
    "filter-responses": "filter_responses",
    "score-responses": "score_responses",
    "generate": "generate",
    "verify": "verify",
    "reward-test": "reward_test",
    "filter-difficulty": "filter_difficulty",
    "filter-vision": "filter_vision",
    "choose": "choose",
    "rl prepare": "rl.prepare",
    "rl potential": "rl.potential",
    "rl triggers": "rl.triggers",
    "rl sapo": "rl.sapo",
    "lineage": "lineage",
    "recover": "recover",
    "pack": "pack",
    "sft": "sft",
    "import": "import_",
    "export": "export",
    "serve": "serve",
    "eval": "eval",
    "parity": "parity",
    "doctor": "doctor",
    "tiny model": "tiny.model",
    "tiny data": "tiny.data",
    "man": "man",
}

DOCSTRING = re.compile(r'"""(.+)')

# typer does not export click, but the base of the error that it exports is that of all usage errors.
UsageError: Any = typer.BadParameter.__bases__[0]


class LazyGroup(help.Group):
    """A group that imports the module of a command when the command is used."""

    prefix = ""

    def list_commands(self, ctx: Any) -> list[str]:
        names = (name[len(self.prefix) :] for name in COMMANDS if name.startswith(self.prefix))
        return list(dict.fromkeys(name.partition(" ")[0] for name in names))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        name = self.prefix + cmd_name
        if name in COMMANDS:
            with gc_frozen():
                from .groups import flattened  # not for `qvl --help`

                module = import_module("." + COMMANDS[name], __package__)
            app = typer.Typer(add_completion=False, rich_markup_mode=None)
            app.command(cmd_name, cls=help.Command)(flattened(module.command))
            return typer.main.get_command(app)
        if any(other.startswith(name + " ") for other in COMMANDS):
            return subgroup(cmd_name, name + " ")
        return None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        rows = [(name, _summary(self.prefix + name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            hint = f"did you mean {near[0]!r}?" if near else f"see qvl {self.prefix}--help"
            raise UserError(f"no command {self.prefix + args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


class RootGroup(LazyGroup):
    """Where errors end. Around app() is too late: typer turns EPIPE and Ctrl-C into status 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            if str(error):  # empty on a rank whose error another rank reports
                _say(str(error))
            raise typer.Exit(error.status) from None
        except UsageError as error:
            if error.__class__.__name__ == "NoArgsIsHelpError":
                raise
            where = error.ctx.command_path if error.ctx else "qvl"
            _say(f"{error.format_message().rstrip('.')}; see {where} --help")
            raise typer.Exit(2) from None
        except BrokenPipeError:  # the reader has had enough, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Terminated:
            raise typer.Exit(143) from None


def subgroup(name: str, prefix: str) -> Any:
    """The group of `qvl NAME ...`; the docstring of its folder is its help."""
    group = type("Group", (LazyGroup,), {"prefix": prefix})
    sub = typer.Typer(cls=group, rich_markup_mode=None, add_completion=False, no_args_is_help=True)
    module = "." + prefix.strip().replace(" ", ".")
    sub.callback(help=import_module(module, __package__).__doc__)(lambda: None)
    command = typer.main.get_command(sub)
    command.name = name
    return command


def _summary(name: str) -> str:
    """The first sentence of a command's help, read from its source: importing them all is slow."""
    module = COMMANDS.get(name)
    path = Path(__file__).parent / (module or name).replace(".", "/").replace(" ", "/")
    source = (path.with_suffix(".py") if module else path / "__init__.py").read_text()
    docstring = DOCSTRING.search(source[source.find("def command(") if module else 0 :])
    return docstring[1].rstrip(".") if docstring else ""


def _say(message: str) -> None:
    print(f"qvl: error: {' '.join(message.split())}", file=sys.stderr)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _version(wanted: bool) -> None:
    if wanted:
        print(f"qvl {qvl.__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=RootGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=help.ANY_WIDTH,
)


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit"
        ),
    ] = False,
) -> None:
    """The post-training recipe of Qwen3-VL as small tools that read and write zstd JSONL streams.

    Each command is a filter: it reads FILEs or standard input, and writes standard output or -o FILE.
    "qvl man" walks through the recipe, "qvl man COMMAND" shows the page of a command, and "qvl man
    records" and "qvl man streams" define the formats.
    """


def main() -> None:
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(prog_name="qvl")
    except Terminated:  # after the end of the command
        sys.exit(143)
    finally:
        # From here on a signal must not raise: the interpreter would print a traceback at its end.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
