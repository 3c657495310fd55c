from typing import Annotated

import typer

from qvl import stage
from qvl.curate.rules.drop_responses import drop_failed
from qvl.curate.rules.explain import Explained
from qvl.curate.rules.responses import ResponseRules

from .options import Jobs, StreamOptions, Words


def command(
    stream: StreamOptions,
    thinking: Annotated[
        str,
        typer.Option(
            metavar="allow|forbid|require",
            help="Whether reasoning is allowed, forbidden (instruct data) or required (thinking data)",
        ),
    ] = ResponseRules.thinking,
    min_reasoning: Annotated[
        int,
        typer.Option(
            metavar="CHARS",
            min=0,
            help="Drop answers with shorter reasoning as guesses; 0 turns it off",
        ),
    ] = ResponseRules.min_reasoning,
    check_answers: Annotated[
        bool,
        typer.Option(
            "--check-answers/--no-check-answers",
            help="Drop answers that the task's verifier finds wrong",
        ),
    ] = ResponseRules.check_answers,
    loop_times: Annotated[
        int, typer.Option(metavar="N", min=2, help="Consecutive repetitions that make a loop")
    ] = ResponseRules.loop_times,
    loop_chars: Annotated[
        int,
        typer.Option(
            metavar="CHARS", min=1, help="Minimum length of a loop at the end; twice that elsewhere"
        ),
    ] = ResponseRules.loop_chars,
    max_repeated: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Maximum share of text in repeated lines and sentences",
        ),
    ] = ResponseRules.max_repeated,
    min_density: Annotated[
        float,
        typer.Option(
            metavar="RATIO",
            min=0,
            max=1,
            help="Minimum ratio of compressed size to size, from 1 kB on",
        ),
    ] = ResponseRules.min_density,
    max_grams: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="Maximum share of words in repeated 6-grams"
        ),
    ] = ResponseRules.max_grams,
    max_mixed: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Maximum share of words in a script that the query does not use",
        ),
    ] = ResponseRules.max_mixed,
    max_foreign: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Maximum share of words in sentences of another language",
        ),
    ] = ResponseRules.max_foreign,
    min_query_words: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Minimum content words of a query whose long answer is off topic if it uses none of "
            "them; 0 turns the rule off",
        ),
    ] = ResponseRules.min_query_words,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="REASON", help="Do not drop for this reason; repeatable"),
    ] = None,
    words: Words = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Add the measurements to `scores`, also of rejects")
    ] = False,
    jobs: Jobs = 1,
) -> None:
    """Drop responses that are not worth learning, by rules.

    Reads records and checks the final assistant turn and each of `responses`. A record whose final turn
    fails is rejected. Responses that fail are removed, and the record is rejected when none is left. If
    some are left, --rejects gets a record with the same id, the removed responses, and the reason
    "responses".

      no-response, empty, repetition, truncated, special-token, think-format, tool-format, harmful
      bad-json         also boxes out of range
      off-topic        cannot see the image, refuses, holds another turn or a web page,
                       or uses no word of the query
      language-mixing, style-shift, guess, wrong-answer
      inconsistent     reasoning and answer disagree

    An answer on which the verifier fails or runs out of time is kept; the summary counts verdict_errors.

    The papers name these defects but publish no thresholds; the defaults are our choice.

    The rules know English, Chinese, Japanese, Korean, Arabic, Russian, Spanish and some more. Their words
    and patterns are in lists (qvl/text/words). A list in the folder --words replaces the one of the same
    name: harmful.txt, blind.txt, refusal.txt, spill.txt, guess.txt, repeat.txt, languages.txt, casual.txt.

    --explain adds scores["filter-responses"] to records with a final turn, and to the `scores` of each
    response: loop_times, loop_chars, repeated, grams, density, mixed, foreign, reasoning_chars.

    Examples:
        $ qvl filter-responses records.jsonl.zst | zstdcat
        $ qvl filter-responses --thinking forbid records.jsonl.zst -o instruct.jsonl.zst
        $ qvl filter-responses --explain records.jsonl.zst | zstdcat
        $ qvl filter-responses --jobs 2 --rejects bad.jsonl.zst records.jsonl.zst -o kept.jsonl.zst
    """
    rules = ResponseRules(
        thinking=thinking,
        min_reasoning=min_reasoning,
        check_answers=check_answers,
        loop_times=loop_times,
        loop_chars=loop_chars,
        max_repeated=max_repeated,
        min_density=min_density,
        max_grams=max_grams,
        max_mixed=max_mixed,
        max_foreign=max_foreign,
        min_query_words=min_query_words,
        skip=tuple(skip or ()),
        words=words,
    )
    with stream.run(
        "filter-responses",
        sound=True,
        conserves=True,
        config=vars(rules),
    ) as run:
        judged = stage.pairs(run, Explained(rules) if explain else rules, jobs=jobs)
        run.write(drop_failed(run, judged))
