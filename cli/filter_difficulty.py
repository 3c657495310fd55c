from typing import Annotated

import typer

from qvl import stage
from qvl.curate.selection.difficulty import Difficulty

from .options import Jobs, StreamOptions


def command(
    stream: StreamOptions,
    max_pass_rate: Annotated[
        float,
        typer.Option(
            metavar="RATE", min=0, max=1, help="Keep where so many pass at most (our choice)"
        ),
    ] = Difficulty.max_pass_rate,
    min_pass_rate: Annotated[
        float,
        typer.Option(
            metavar="RATE", min=0, max=1, help="And so many at least; over 0 drops what none solves"
        ),
    ] = Difficulty.min_pass_rate,
    min_tokens: Annotated[
        float | None,
        typer.Option(
            metavar="N", min=0, help="Or keep answers of so many tokens on average, whatever passes"
        ),
    ] = Difficulty.min_tokens,
    pass_reward: Annotated[
        float, typer.Option(metavar="X", help="Least reward of a response that passes")
    ] = Difficulty.pass_reward,
    min_responses: Annotated[
        int, typer.Option(metavar="N", min=1, help="Fewest responses with a reward")
    ] = Difficulty.min_responses,
    sure: Annotated[
        bool,
        typer.Option("--sure", help="Compare the ends of the rate's 95 % interval, not the rate"),
    ] = Difficulty.sure,
    jobs: Jobs = 1,
) -> None:
    """Keep the queries that a baseline model finds hard.

    Reads records whose `responses` have a `reward`, as qvl verify gives it, any number of them; writes
    those of which few pass, or whose answers are long (--min-tokens; num_tokens of the responses), as
    the cold start does. Adds scores["filter-difficulty"]: judged, passed, pass_rate, the ends low and
    high of its 95 % Wilson interval, tokens. The rest goes to --rejects as too-easy, too-hard (under
    --min-pass-rate), or not-judged (fewer responses with a reward than --min-responses).

    Reinforcement learning takes other bounds: of 16 responses drop where none passes or over 90 % do,
    --min-pass-rate 0.01 --max-pass-rate 0.9 (Qwen3-VL report 4.4.1). The cold start's are not published.

    \b
    Examples:
        $ qvl verify sampled.jsonl.zst | qvl filter-difficulty | zstdcat
        $ qvl verify sampled.jsonl.zst | qvl filter-difficulty --max-pass-rate 0.25 --min-tokens 2000 -o hard.jsonl.zst
        $ qvl verify sampled.jsonl.zst | qvl filter-difficulty --min-pass-rate 0.01 --max-pass-rate 0.9 -o rl.jsonl.zst
    """
    rules = Difficulty(
        max_pass_rate=max_pass_rate,
        min_pass_rate=min_pass_rate,
        min_tokens=min_tokens,
        pass_reward=pass_reward,
        min_responses=min_responses,
        sure=sure,
    )
    with stream.run(
        "filter-difficulty",
        sound=True,
        conserves=True,
        config=vars(rules),
    ) as run:
        run.write(stage.each(run, rules, jobs=jobs))
