from typing import Annotated

import typer

from qvl import stage
from qvl.curate.rules.responses import ResponseRules
from qvl.curate.selection import triggers
from qvl.curate.selection.triggers import Triggers

from ..options import Jobs, StreamOptions


def command(
    stream: StreamOptions,
    behaviour: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(triggers.BEHAVIOURS), help="Look for this one alone; repeatable"
        ),
    ] = None,
    min_rate: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Least share of the responses to show one (our choice)",
        ),
    ] = Triggers.min_rate,
    thinking: Annotated[
        str,
        typer.Option(
            metavar="allow|forbid|require",
            help="What a thought is: fine, bad form, or bad form where it is missing",
        ),
    ] = ResponseRules.thinking,
    words: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Lists that stand in for ours of the same file name"),
    ] = None,
    keep_responses: Annotated[
        bool, typer.Option("--keep-responses", help="Keep the responses, which were read to choose")
    ] = False,
    jobs: Jobs = 1,
) -> None:
    """Find the prompts that bring out bad behaviour.

    Reads records with sampled responses; keeps those of which at least --min-rate of the responses mix
    languages, repeat themselves, or break the format (special tokens, tags of thinking, tool calls,
    JSON), as the rules of qvl filter-responses tell it. Such behaviour is rare over all data; general
    RL gets a set of its own of these prompts, so that it is penalised often (Qwen3-VL report 4.4.2).

    Adds `trigger`: behaviours, their rates, the number of responses, and a detail of the first; leaves
    out the responses. The rest goes to --rejects as quiet, or as no-response. No verifier is needed.
    examples/data/triggers.jsonl holds some prompts to begin with.

    \b
    Examples:
        $ qvl rl triggers --min-rate 0.5 sampled.jsonl.zst --rejects quiet.jsonl.zst | zstdcat
        $ qvl rl triggers --behaviour repetition sampled.jsonl.zst -o repetitive.jsonl.zst
        $ qvl rl prepare --general triggers.jsonl -o triggers.jsonl.zst
    """
    rules = ResponseRules(thinking=thinking, words=words)
    names = tuple(behaviour or triggers.BEHAVIOURS)
    find = Triggers(behaviours=names, min_rate=min_rate, rules=rules, keep_responses=keep_responses)
    with stream.run(
        "rl triggers",
        sound=True,
        conserves=True,
        config={"behaviours": names, "min_rate": min_rate, "thinking": thinking, "words": words},
    ) as run:
        run.write(stage.each(run, find, jobs=jobs))
