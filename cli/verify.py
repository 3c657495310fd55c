from typing import Annotated

import typer

from qvl import reward, stage
from qvl.reward import verdict

from .options import (
    Files,
    Jobs,
    MaxErrorRate,
    OnError,
    Output,
    Plain,
    Rejects,
    Report,
    Resume,
    Shard,
    VerdictSeconds,
)
from .session import session


def command(
    files: Files = None,
    output: Output = "-",
    verifier: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Judge all by this verifier or MODULE:FUNCTION"),
    ] = None,
    verifiers: Annotated[
        bool, typer.Option("--verifiers", help="List the verifiers and where they are; do no more")
    ] = False,
    max_error_rate: MaxErrorRate = stage.MAX_ERROR_RATE,
    timeout_seconds: VerdictSeconds = verdict.SECONDS,
    partial: Annotated[
        bool, typer.Option("--partial", help="Code earns the share of its tests that passed")
    ] = False,
    unsafe_local: Annotated[
        bool,
        typer.Option(
            "--unsafe-local", help="Run code with your own rights where nothing isolates it"
        ),
    ] = False,
    jobs: Jobs = 1,
    rejects: Rejects = None,
    on_error: OnError = "stop",
    shard: Shard = None,
    resume: Resume = False,
    plain: Plain = False,
    report: Report = None,
) -> None:
    """Judge sampled responses by the verifier of their task.

    Reads records with a task, an answer and responses; the final answer is taken after the
    thinking. Writes them with, on each response: `reward`, from 0 to 1, or null where there is no
    verdict; `rewards`, by verifier; and `verdict`: the verifier, its status, what it took as the
    answer, the particulars. The status is ok, timeout or error: a verifier that crashes, or finds
    nothing to compare with, scores nobody 0. Programs run in a sandbox with time limits of its
    own; one that runs out of time failed and scores 0. The totals stand in the summary, and too
    many responses without a verdict are status 3. Nothing is dropped.

    \b
    Examples:
        $ qvl verify sampled.jsonl.zst | zstdcat
        $ qvl verify --verifier exact --jobs 2 sampled.jsonl.zst -o verified.jsonl.zst
        $ qvl verify --verifiers
    """
    if verifiers:
        for name, where in reward.REWARDS.items():
            print(f"{name:12} {where}")
        return
    if verifier:
        reward.find(verifier)
    with session(
        "verify",
        files,
        output,
        rejects=rejects,
        on_error=on_error,
        shard=shard,
        plain=plain,
        report=report,
        resume=resume,
        journal=True,
        config={
            "verifier": verifier,
            "timeout_seconds": timeout_seconds,
            "partial": partial,
            "unsafe_local": unsafe_local,
        },
        sound=True,
        conserves=True,
    ) as run:
        judged = stage.each(
            run, verdict.Verify(verifier, timeout_seconds, partial, unsafe_local), jobs=jobs
        )
        run.write(verdict.Totals(max_error_rate).watch(judged, run.note))
