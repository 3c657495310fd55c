"""The options of commands that read and write a stream; each flag is spelt and explained once."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from qvl.errors import UserError
from qvl.stage import Run

from .groups import group
from .session import session


def find_verifier(name: str | None) -> str | None:
    """The value of --verifier, or UserError where it names none."""
    if name is not None:
        from qvl import reward

        reward.find(name, "--verifier")
    return name


def refuse_file(name: str, value: str, example: str) -> None:
    """UserError if an expression, the first argument, was forgotten and a FILE stands in its place."""
    if Path(value).is_file():
        raise UserError(
            f"{name}: {value} is a file; write the expression before it, as in {example}"
        )


def _refuse_reward(value: str | None) -> None:
    if value is not None:
        raise UserError(f"--reward is called --verifier now; say --verifier {value}")


Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE]...",
        help="JSONL files, plain or zstd, gzip, bzip2, read as one stream; - or none is standard input",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Random seed")]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", metavar="N", min=1, help="Worker processes; the output does not depend on them"
    ),
]
ThinkTags = Annotated[
    bool,
    typer.Option(
        "--think-tags",
        help="Put reasoning_content into the text, between <think> and </think>, for a template that "
        "does not render it; without this flag such records are rejected",
    ),
]
KeepResponses = Annotated[
    bool, typer.Option("--keep-responses", help="Keep the responses in the record")
]
Words = Annotated[
    str | None,
    typer.Option(
        "--words", metavar="DIR", help="Word lists that replace the built-in ones of the same name"
    ),
]
Verifier = Annotated[
    str | None,
    typer.Option(
        "--verifier",
        metavar="NAME",
        callback=find_verifier,
        help="Verifier of all records, or MODULE:FUNCTION, instead of their tasks",
    ),
]
FormerReward = Annotated[
    str | None,
    typer.Option(
        "--reward", hidden=True, callback=_refuse_reward, help="The former name of --verifier"
    ),
]
VerdictSeconds = Annotated[
    float,
    typer.Option(
        "--verdict-seconds", metavar="X", min=0.001, help="Maximum seconds per verdict (our choice)"
    ),
]
MaxErrorRate = Annotated[
    float,
    typer.Option(
        "--max-error-rate",
        metavar="X",
        min=0,
        max=1,
        help="Exit with status 3 if a larger share of verdicts is missing (our choice)",
    ),
]
Layout = Annotated[
    str,
    typer.Option(
        "--layout",
        metavar="tp=N,pp=N,vp=N,cp=N,ep=N",
        help="Parallel sizes; other ranks are data parallel. sp=0 turns sequence parallelism off",
    ),
]


@group
class StreamOptions:
    """Records in, records out. A command that needs the whole stream is `without("shard")`."""

    title: ClassVar = "Stream options"

    files: Files = None
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            show_default=False,
            help="Write to this file, which appears only when complete",
        ),
    ] = "-"
    rejects: Annotated[
        str | None,
        typer.Option("--rejects", metavar="FILE", help="Write dropped records and reasons here"),
    ] = None
    on_error: Annotated[
        str,
        typer.Option(
            "--on-error", metavar="stop|reject", help="Stop at a bad line, or add it to --rejects"
        ),
    ] = "stop"
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Process every Nth record from the Ith on"),
    ] = None
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            envvar="QVL_PLAIN",
            show_envvar=False,
            help="Write plain JSON lines instead of zstd, as files named .jsonl or .json are",
        ),
    ] = False
    report: Annotated[
        str | None,
        typer.Option("--report", metavar="FILE", help="Write a report of the run here, as JSON"),
    ] = None

    def run(self, command: str, **facts: Any) -> AbstractContextManager[Run]:
        """Open the run of `command`; `facts` are further arguments of `session` and `stage.Run`."""
        return session(command, **{**vars(self), **facts})


@group
class ResumableStreamOptions(StreamOptions):
    """The options of a stream whose records take long: the run keeps a journal for --resume."""

    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue an interrupted run of this command with -o FILE"),
    ] = False

    def run(
        self, command: str, *, journal: bool = True, **facts: Any
    ) -> AbstractContextManager[Run]:
        return super().run(command, journal=journal, **facts)


@group
class MediaOptions:
    """Where images and videos come from."""

    title: ClassVar = "Media options"

    media_root: Annotated[
        str | None,
        typer.Option(
            "--media-root",
            metavar="DIR",
            help="Base folder of media paths; by default that of the first FILE",
        ),
    ] = None
    allow_remote: Annotated[
        bool,
        typer.Option(
            "--allow-remote", help="Fetch http(s) media; private addresses stay forbidden"
        ),
    ] = False

    def root(self, files: Iterable[str] | None) -> Path:
        """The folder that media paths are relative to."""
        from qvl.media import references

        return references.root_of(list(files or ()), self.media_root)
