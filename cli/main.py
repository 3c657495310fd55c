"""`qvl`: the table of commands, and the only place that turns an error into an exit status."""

import errno
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
from qvl.io import atomic

from . import help

SECTIONS = {  # title in --help -> name of a command -> module in this folder
    "Streams": {
        "cat": "cat",
        "check": "check",
        "stats": "stats",
        "view": "view",
        "plot": "plot",
        "select": "select",
        "set": "set",
        "mix": "mix",
        "shuffle": "shuffle",
        "split": "split",
        "dedup": "dedup",
        "decontaminate": "decontaminate",
        "convert": "convert",
        "lineage": "lineage",
        "recover": "recover",
    },
    "Curation": {
        "filter-queries": "filter_queries",
        "filter-responses": "filter_responses",
        "score-responses": "score_responses",
        "generate": "generate",
        "verify": "verify",
        "reward-test": "reward_test",
        "filter-difficulty": "filter_difficulty",
        "filter-vision": "filter_vision",
        "choose": "choose",
    },
    "Training": {
        "pack": "pack",
        "sft": "sft",
        "import": "import_",
        "export": "export",
    },
    "Distillation": {
        "distill collect": "distill.collect",
        "distill on-policy": "distill.on_policy",
    },
    "Reinforcement learning": {
        "rl prepare": "rl.prepare",
        "rl potential": "rl.potential",
        "rl triggers": "rl.triggers",
        "rl sapo": "rl.sapo",
    },
    "Thinking with images": {
        "agent-synthesize": "agent_synthesize",
        "agent-rollout": "agent_rollout",
        "agent-replay": "agent_replay",
        "agent-score": "agent_score",
        "agent-budget": "agent_budget",
        "tool-test": "tool_test",
    },
    "Serving and evaluation": {
        "serve": "serve",
        "eval": "eval.run",
        "eval load": "eval.load",
        "eval extract": "eval.extract",
        "eval score": "eval.score",
        "eval compare": "eval.compare",
        "eval summary": "eval.summary",
        "parity": "parity",
        "doctor": "doctor",
    },
    "The twin, and these pages": {
        "tiny model": "tiny.model",
        "tiny data": "tiny.data",
        "tiny sheet": "tiny.sheet",
        "man": "man",
    },
}
COMMANDS = {name: module for section in SECTIONS.values() for name, module in section.items()}

OUTPUT_ERRORS = (errno.EBADF, errno.EPIPE, errno.ENOSPC)
DOCSTRING = re.compile(r'"""(.+?)\.?(?:"""|$)', re.MULTILINE)

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
            app = typer.Typer(
                add_completion=False, rich_markup_mode=None, context_settings=help.SETTINGS
            )
            app.command(cmd_name, cls=help.Command)(flattened(module.command))
            command = typer.main.get_command(app)
            seconds = [each.split()[1] for each in COMMANDS if each.startswith(name + " ")]
            help.complete_values(command, seconds)
            return command
        if any(other.startswith(name + " ") for other in COMMANDS):
            return subgroup(cmd_name, name + " ")
        return None

    def _below(self, ctx: Any, first: str, second: str) -> Any:
        """The command of two words whose first is a command, too: eval, and eval compare."""
        names = {self.prefix + first, f"{self.prefix}{first} {second}"}
        return self.get_command(ctx, f"{first} {second}") if names <= COMMANDS.keys() else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """A section for each purpose; one alone needs no title of its own."""
        width = max(map(len, COMMANDS)) - len(self.prefix)
        for title, commands in SECTIONS.items():
            rows = [
                (name[len(self.prefix) :].ljust(width), _summary(name))
                for name in commands
                if name.startswith(self.prefix)
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] == "help":  # qvl help cat
            args = [*args[1:], "--help"]
        if len(args) > 1 and (command := self._below(ctx, *args[:2])):
            return command.name, command, args[2:]
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            hint = f"did you mean {near[0]!r}?" if near else f"see qvl {self.prefix}--help"
            raise UserError(f"no command {self.prefix + args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


class RootGroup(LazyGroup):
    """Where errors end. Around app() is too late: typer turns EPIPE and Ctrl-C into status 1."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        try:
            return super().make_context(*args, **more)
        except UsageError as error:
            if error.__class__.__name__ == "NoArgsIsHelpError":
                raise
            _say_usage(error)
            raise typer.Exit(2) from None

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
            _say_usage(error)
            raise typer.Exit(2) from None
        except BrokenPipeError:  # the reader has had enough, as `head` does
            _discard_output()
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Terminated as error:
            raise typer.Exit(error.status) from None


def subgroup(name: str, prefix: str) -> Any:
    """The group of `qvl NAME ...`; the docstring of its folder is its help."""
    group = type("Group", (LazyGroup,), {"prefix": prefix})
    sub = typer.Typer(
        cls=group,
        rich_markup_mode=None,
        add_completion=False,
        no_args_is_help=True,
        context_settings=help.SETTINGS,
    )
    module = "." + prefix.strip().replace(" ", ".")
    sub.callback(help=import_module(module, __package__).__doc__)(lambda: None)
    command = typer.main.get_command(sub)
    command.name = name
    return command


def _summary(name: str) -> str:
    """The first sentence of a command's help, read from its source: importing them all is slow."""
    path = Path(__file__).parent / COMMANDS[name].replace(".", "/")
    source = path.with_suffix(".py").read_text()
    docstring = DOCSTRING.search(source[source.find("def command(") :])
    return docstring[1] if docstring else ""


def _say_usage(error: Any) -> None:
    where = error.ctx.command_path if error.ctx else "qvl"
    _say(f"{error.format_message().rstrip('.')}; see {where} --help")


def _say(message: str) -> None:
    print(f"qvl: error: {' '.join(message.split())}", file=sys.stderr)


def _discard_output() -> None:
    """What is still to be written to standard output goes nowhere, and the end raises no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


def _open_closed_streams() -> None:
    """Take the places of standard streams that are closed, as by `>&-`.

    Else the next file would be number 0, 1 or 2, and messages would go among its records. Using standard
    input or output is then an error of that stream, EBADF; messages go nowhere.
    """
    for name, mode in (("stdin", "w"), ("stdout", "r"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = ("stdin", "stdout", "stderr").index(name)
            opened = os.open(os.devnull, os.O_WRONLY if mode == "w" else os.O_RDONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            wanted = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, wanted, closefd=False))  # noqa: SIM115 - for good


def _version(wanted: bool) -> None:
    if wanted:
        print(f"qvl {qvl.__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=RootGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=help.SETTINGS,
)


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "-V", "--version", callback=_version, is_eager=True, help="Print the version and exit"
        ),
    ] = False,
) -> None:
    """The post-training recipe of Qwen3-VL as small tools that read and write zstd JSONL streams.

    Each command is a filter: it reads FILEs or standard input, and writes standard output or -o FILE.
    "qvl man" walks through the recipe, "qvl man COMMAND" shows the page of a command, and "qvl man
    records" and "qvl man streams" define the formats.
    """


def main() -> None:
    _open_closed_streams()
    signals = [signal.SIGTERM, signal.SIGHUP]
    for number in signals:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _terminate)
    try:
        try:
            app(prog_name="qvl")
        finally:
            sys.stdout.flush()  # an error of the text that is left is told here, not by the interpreter
    except Terminated as error:  # after the end of the command
        sys.exit(error.status)
    except OSError as error:  # of what is no file of records: a text printed on a full disk
        if error.filename is not None or error.errno not in OUTPUT_ERRORS:
            raise
        _discard_output()
        if error.errno == errno.EPIPE:  # the reader has had enough
            sys.exit(0)
        _say(f"<stdout>: {error.strerror}")
        sys.exit(2)
    finally:
        # From here on a signal must not raise: the interpreter would print a traceback at its end.
        for number in (signal.SIGINT, *signals):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        atomic.discard_all()
