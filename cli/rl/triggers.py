from typing import Annotated

import typer

from qvl import stage
from qvl.curate.rules.responses import ResponseRules
from qvl.curate.selection import triggers
from qvl.curate.selection.triggers import Triggers

from ..options import Jobs, KeepResponses, StreamOptions, Words


def command(
    stream: StreamOptions,
    behaviour: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(triggers.BEHAVIOURS), help="Look for this behaviour only; repeatable"
        ),
    ] = None,
    min_rate: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Minimum share of responses that show it (our choice)",
        ),
    ] = Triggers.min_rate,
    thinking: Annotated[
        str,
        typer.Option(
            metavar="allow|forbid|require",
            help="Whether reasoning is allowed, or malformed if present or if missing",
        ),
    ] = ResponseRules.thinking,
    words: Words = None,
    keep_responses: KeepResponses = False,
    jobs: Jobs = 1,
) -> None:
    """Find the prompts that bring out bad behaviour.

    Reads records with sampled responses. Keeps those where at least --min-rate of the responses mix
    languages, repeat themselves, or break the format (special tokens, thinking tags, tool calls, JSON),
    by the rules of qvl filter-responses. Such behaviour is rare in general; a set of these prompts lets
    general RL penalise it often (Qwen3-VL report 4.4.2).

    Adds `trigger`: behaviours, their rates, the number of responses, and a detail of the first. Removes
    the responses. The others go to --rejects as quiet or no-response. No verifier is needed.
    examples/data/triggers.jsonl holds some prompts to start with.

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
