"""What the commands that train have in common: options, and how their ranks start and end."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any, Protocol

import typer

from qvl.distill.settings import MOST_TOP_K
from qvl.errors import Terminated
from qvl.settings import PRECISIONS, Checkpointing
from qvl.train import launch
from qvl.train.stopping import stop_at_signal

StartModel = Annotated[
    str, typer.Option("--model", metavar="DIR", help="Hugging Face folder to start from")
]
TrainedModel = Annotated[
    str, typer.Option("-o", "--output", metavar="DIR", help="Hugging Face folder to write")
]
Nproc = Annotated[
    int,
    typer.Option(
        "--nproc", metavar="N", help="Start N ranks on this machine, as torchrun can, too"
    ),
]
Clip = Annotated[float, typer.Option("--clip", help="Largest norm of the gradient")]
Freeze = Annotated[
    list[str] | None,
    typer.Option(
        "--freeze",
        metavar="PART",
        help="Do not train this part: vision, merger or language; repeatable",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="|".join(PRECISIONS),
        help="Type of weights and activations; auto: the checkpoint's",
    ),
]
Recompute = Annotated[
    bool,
    typer.Option(
        "--recompute", help="Recompute activations in the backward pass instead of keeping them"
    ),
]
SaveEvery = Annotated[
    int,
    typer.Option(
        "--save-every", metavar="STEPS", help="Steps between checkpoints; 0: only when stopped"
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        help="Threads per rank on a CPU; by default 1 for a small model, else one per core "
        "(OMP_NUM_THREADS at most)",
    ),
]
Tensorboard = Annotated[
    bool, typer.Option("--tensorboard", help="Write the figures for TensorBoard too")
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue from the last checkpoint in --output, if there is one"),
]


Teacher = Annotated[
    list[str] | None,
    typer.Option(
        "--teacher",
        metavar="[TASK=]URL|DIR",
        help="Engine that serves a teacher, of records of TASK or of all others, repeatable for further "
        "tasks and for several of the same teacher; or a folder",
    ),
]
TopK = Annotated[
    int,
    typer.Option(
        "--top-k",
        metavar="K",
        min=0,
        max=MOST_TOP_K,
        help="Log-probs per place, and the rest as one; 0: of the sampled token alone (our choice)",
    ),
]


class RunSettings(Protocol):
    """The settings of a job."""

    @property
    def checkpointing(self) -> Checkpointing: ...

    @property
    def finished(self) -> bool:
        """Whether a run to be resumed has nothing left to do."""
        ...

    def check(self, ranks: int) -> None: ...


def train(
    name: str,
    settings: RunSettings,
    nproc: int,
    run: Callable[[Callable[[], bool]], dict[str, Any]],
) -> dict[str, Any] | None:
    """Check the settings, start `nproc` ranks and run the job in each; None if it is finished already.

    run: gets what says whether to stop, and returns how the run ended. name: of the command.
    """
    output = settings.checkpointing.output
    if launch.checks_settings():
        settings.check(int(os.environ.get("WORLD_SIZE", nproc)))
    if settings.finished:
        if launch.is_first():
            print(f"qvl {name}: {output} is finished", file=sys.stderr)
        return None
    ended = launch.as_ranks(nproc)
    if ended is not None:
        raise typer.Exit(ended)
    with stop_at_signal() as stop, launch.one_rank_reports():
        done = run(stop.requested)
    if done["stopped"]:
        if launch.is_first():
            hint = f"stopped after step {done['step']} of {done['steps']}; continue with --resume"
            print(f"qvl {name}: {hint}", file=sys.stderr)
        raise KeyboardInterrupt if stop.signal == signal.SIGINT else Terminated
    return done
