from typing import Annotated

import typer

from qvl.errors import CheckFailed, UserError
from qvl.reward import time_limit
from qvl.reward.self_test import case_runner

from .groups import without
from .options import FormerReward, Seed, StreamOptions, VerdictSeconds, find_verifier


def command(
    stream: Annotated[StreamOptions, without("files", "rejects", "on_error", "shard")],
    cases: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|FILE]...",
            help="Built-in cases of a verifier or task, or a JSONL file; - is standard input",
        ),
    ] = None,
    verifier: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            callback=find_verifier,
            help="Test this verifier or MODULE:FUNCTION on the cases (once --reward)",
        ),
    ] = None,
    reward: FormerReward = None,
    hostile: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Number of random answers per task, beside the fixed ones (our choice)",
        ),
    ] = case_runner.NUM_NOISE,
    verdict_seconds: VerdictSeconds = time_limit.VERDICT_SECONDS,
    seed: Seed = 0,
) -> None:
    """Test a verifier on answers whose reward is known, on hostile ones, and on a policy's hacks.

    Tests every built-in verifier and judge, those of the NAMEs, or your own (--verifier), a function of a
    record and a response in a module on PYTHONPATH. A FILE holds records whose responses have a `case`, and
    perhaps an `expected` reward: gold must get 1, empty and hacked 0, wrong and partial what is expected,
    or less than 1. Each task is also tested on generated answers: hostile ones (nested, endless, giant)
    must get a verdict in time, and below 1; bombs (9^9^9^9) may time out; noise may be right by chance,
    but must get a verdict. Each record is also tested on hacks, which must get a verdict below 0.5: answers
    in both forms, all answers at once, quoted verdicts, answers that cannot be evaluated or that nobody
    reads, padding, and for code programs that solve nothing.

    The NAME judge tests the built-in prompts of judges on replies that quote the verdict of the response
    which they judge, cut, doubled or unreadable: none may count. A record of task "judge" in a FILE, with
    the answer {"prompt": FILE}, tests your own prompt.

    Writes one record per case with scores["reward-test"]: case, expected, found, status, seconds and
    problem, which is empty if all is well; a long hostile answer is truncated unless it failed. The
    output can be tested again. Any problem (a wrong reward, a crash, a verdict that hangs) is status 3.

    Examples:
        $ qvl reward-test counting chart judge -o tried.jsonl.zst
        $ qvl reward-test --verifier qvl.reward.verifiers.number:score number -o tried.jsonl.zst
        $ qvl reward-test clock | qvl select 'scores["reward-test"].problem' -o failed.jsonl.zst
    """
    if verifier and not cases:
        raise UserError("--verifier needs cases: a verifier's name, such as chart, or a FILE")
    tried = case_runner.CaseRunner(verifier, verdict_seconds, hostile, seed)
    with stream.run(
        "reward-test",
        files=case_runner.paths(cases or []),
        seed=seed,
        config={"verifier": verifier, "hostile": hostile, "verdict_seconds": verdict_seconds},
        sound=True,
    ) as run:
        for record in run:
            run.write(tried(record, run.reader.place))
        counts = {case: number for case, number in tried.cases.items() if case != "hack"}
        hacks = tried.cases["hack"]
        run.note(**counts, failed=tried.failed, hacks=hacks, slowest_seconds=tried.slowest)
    if tried.failed:
        total = tried.cases.total()
        raise CheckFailed(f"{tried.failed:,} of {total:,} cases failed; the first: {tried.first}")
