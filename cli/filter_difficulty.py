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
            metavar="RATE", min=0, max=1, help="Maximum share of responses that pass (our choice)"
        ),
    ] = Difficulty.max_pass_rate,
    min_pass_rate: Annotated[
        float,
        typer.Option(
            metavar="RATE",
            min=0,
            max=1,
            help="Minimum share that pass; above 0 drops queries that none solves",
        ),
    ] = Difficulty.min_pass_rate,
    min_tokens: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Also keep queries with at least N tokens per response on average",
        ),
    ] = Difficulty.min_tokens,
    pass_reward: Annotated[
        float, typer.Option(metavar="X", help="Minimum reward of a response that passes")
    ] = Difficulty.pass_reward,
    min_responses: Annotated[
        int, typer.Option(metavar="N", min=1, help="Minimum number of responses with a reward")
    ] = Difficulty.min_responses,
    sure: Annotated[
        bool,
        typer.Option("--sure", help="Compare the ends of the 95 % interval instead of the rate"),
    ] = Difficulty.sure,
    jobs: Jobs = 1,
) -> None:
    """Keep the queries that a baseline model finds hard.

    Reads records with any number of `responses` that have a `reward`, as qvl verify adds it. Keeps those of
    which few pass, or whose answers are long (--min-tokens, by num_tokens of the responses), as in the
    cold start. Adds scores["filter-difficulty"]: judged, passed, pass_rate, the ends low and high of its
    95 % Wilson interval, tokens. The others go to --rejects as too-easy, too-hard (below
    --min-pass-rate), or not-judged (fewer rewards than --min-responses).

    Reinforcement learning drops a query where none of 16 responses passes, or over 90 % do:
    --min-pass-rate 0.01 --max-pass-rate 0.9 (Qwen3-VL report 4.4.1). The bounds of the cold start are not
    published.

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
