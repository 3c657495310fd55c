from typing import Annotated

import typer

from qvl import reward
from qvl.errors import CheckFailed, UserError
from qvl.reward import verdict
from qvl.reward.self_test import trial

from .groups import without
from .options import Seed, StreamOptions, VerdictSeconds


def command(
    stream: Annotated[StreamOptions, without("files", "rejects", "on_error", "shard")],
    cases: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|FILE]...",
            help="Cases: those that ship with a verifier or task, or your own JSONL; - is standard input",
        ),
    ] = None,
    own: Annotated[
        str | None,
        typer.Option("--reward", metavar="MODULE:FUNCTION", help="Try this one on the cases"),
    ] = None,
    hostile: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Random answers to each task, beside the fixed (our choice)"
        ),
    ] = trial.NUM_NOISE,
    timeout_seconds: VerdictSeconds = verdict.SECONDS,
    seed: Seed = 0,
) -> None:
    """Try a reward on answers whose verdict is known, and on hostile ones.

    Tries every verifier that ships, or those of the NAMEs, or your own (--reward), a function of a
    record and a response in a module on PYTHONPATH. A FILE has records whose responses have a `case`,
    and perhaps an `expected` reward: gold must have 1; empty and hacked 0; wrong and partial what is
    expected, or less than 1. Each task gets answers too that nobody wrote: hostile ones (nested,
    endless, giant), which must have a verdict in time, and below 1; bombs (9^9^9^9), which may run out
    of time; and noise, which may hit by luck, but must have a verdict.

    Writes a record a case with scores["reward-test"]: case, expected, found, status, seconds and
    problem, which is empty where all is well; a long hostile answer is cut unless it failed. What was
    written can be tried again. One problem (another reward, a crash, a verdict that hangs) is status 3.

    \b
    Examples:
        $ qvl reward-test counting chart -o tried.jsonl.zst
        $ qvl reward-test --reward qvl.reward.verifiers.number:score number -o tried.jsonl.zst
        $ qvl reward-test clock | qvl select 'scores["reward-test"].problem' -o failed.jsonl.zst
    """
    if own and not cases:
        raise UserError("--reward needs cases: a verifier's name, such as chart, or a FILE")
    if own:
        reward.find(own)
    tried = trial.Trial(own, timeout_seconds, hostile, seed)
    with stream.run(
        "reward-test",
        files=trial.paths(cases or []),
        seed=seed,
        config={"reward": own, "hostile": hostile, "timeout_seconds": timeout_seconds},
        sound=True,
    ) as run:
        for record in run:
            run.write(tried(record, run.reader.place))
        run.note(**tried.cases, failed=tried.failed, slowest_seconds=tried.slowest)
    if tried.failed:
        total = tried.cases.total()
        raise CheckFailed(f"{tried.failed:,} of {total:,} cases failed; the first: {tried.first}")
