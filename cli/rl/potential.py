from typing import Annotated

import typer

from qvl.curate.selection import potential
from qvl.reward import RIGHT

from ..groups import without
from ..options import StreamOptions


def command(
    stream: Annotated[StreamOptions, without("rejects", "on_error", "shard")],
    log: Annotated[
        bool, typer.Option("--log", help="Read logs of a preliminary run instead of samples")
    ] = False,
    least: Annotated[
        float | None,
        typer.Option(
            "--min",
            metavar="X",
            help="Minimum potential; by default 0.1 of samples, 0.02 of a log (our choice)",
        ),
    ] = None,
    pass_reward: Annotated[
        float,
        typer.Option(metavar="X", help="Minimum reward of a response that passes (our choice)"),
    ] = RIGHT,
) -> None:
    """Report how much each source can still teach, and which to drop.

    The potential of samples (verified, of the model to train) is the share of a source's queries of which
    some responses pass and some do not; where all are alike, no response has an advantage over its
    group, and nothing is learned. Beside it are the pass rate and the spread, the mean of p (1 - p). The potential of a log (--log) is the rise of a
    source's mean reward from the first step to the last, on a line fitted to the steps. The Qwen3-VL
    report (4.4.1) names neither its measure nor its threshold.

    A log has lines {"step": 3, "sources": {"NAME": {"reward": 0.41, "count": 64}}}: the mean reward of
    count responses. Other fields and other lines are ignored.

    Writes one record per source, the lowest potential first: source, measure, verdict, potential, the
    ends low and high of its 95 % interval, threshold, and counts. The verdict is keep from the threshold
    on; below it, drop, or unsure if the interval reaches the threshold. Edit it as you like: qvl rl
    prepare --potential drops the sources whose verdict is drop.

    Examples:
        $ qvl verify sampled.jsonl.zst | qvl rl potential | zstdcat
        $ echo '{"step": 1, "sources": {"geometry": {"reward": 0.4, "count": 64}}}' | qvl rl potential --log | zstdcat
    """
    gather = potential.RewardLog() if log else potential.PassRates(pass_reward)
    threshold = gather.threshold if least is None else least
    with stream.run(
        "rl potential",
        sound=not log,
        config={"log": log, "min": threshold, "pass_reward": None if log else pass_reward},
    ) as run:
        for row in run:
            gather.add(row, run.reader.place)
        rows = potential.report(gather.potentials(), gather.measure, threshold)
        run.write(iter(rows))
        if gather.passed_over:
            run.note(passed_over=gather.passed_over)
        run.note(
            drop=", ".join(row["source"] for row in rows if row["verdict"] == "drop") or "none"
        )
